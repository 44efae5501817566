//! Network architectures as data: AnyNet descriptions, the RegNet generator, complexity, design spaces.
//!
//! Nothing here holds a tensor or does I/O. A [`Network`] is the AnyNet template of Radosavovic et al. 2020,
//! "Designing Network Design Spaces" (<https://arxiv.org/abs/2003.13678>): a stem, a body of stages of
//! blocks, a head. A [`Generator`] is the RegNet rule that derives the stages from five numbers; the [`zoo`] contains the
//! published networks.
//!
//! ```
//! use regatta_anynet::{Generator, Network, Rounding};
//!
//! let regnetx_400mf = Generator {
//!     depth: 22,
//!     w0: 24,
//!     wa: 24.48,
//!     wm: 2.54,
//!     group_width: 16,
//!     bottleneck_ratio: 1.0,
//!     se_ratio: 0.0,
//! };
//! let network = Network::of_stages(regnetx_400mf.stages(Rounding::Pycls)?, 1000);
//! assert_eq!(network.summary(1, 224, 224)?.params, 5_157_512);
//! # Ok::<(), regatta_anynet::NetworkError>(())
//! ```

mod network;

mod block;

mod validation;

mod generator;

mod fit;

pub mod zoo;

mod weights;

mod layout;

mod naming;

mod complexity;

mod memory;

mod table;

pub mod space;

pub mod edf;

mod random;

pub use block::{BATCH_NORM_EPS, Block, ConvNorm, Part, Shortcut, SqueezeExcite};
pub use complexity::{BlockShape, LayerKind, LayerRow, Summary};
pub use fit::Fit;
pub use generator::{Generator, Rounding};
pub use layout::{BucketCaps, Layout, Slice};
pub use memory::{Elements, Memory};
pub use naming::Naming;
pub use network::{BlockKind, Map, Network, Stage, Stem, regnetx32};
pub use regatta_random::SplitMix64;
pub use validation::{MAX_BATCH, MAX_CHANNELS, MAX_CLASSES, MAX_DEPTH, MAX_STRIDE, NetworkError};
pub use weights::{Group, Init, Parameter, Role, Statistic};
