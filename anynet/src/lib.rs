//! Network architectures as data: AnyNet descriptions, the RegNet generator, complexity.
//!
//! Nothing here holds a tensor or does I/O. A [`Network`] is the AnyNet template of Radosavovic et al. 2020,
//! "Designing Network Design Spaces" (<https://arxiv.org/abs/2003.13678>): a stem, a body of stages of residual
//! bottleneck blocks, a head. A [`Generator`] is the RegNet rule that draws the stages from five numbers.
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
//!     rounding: Rounding::Pycls,
//! };
//! let network = Network {
//!     in_channels: 3,
//!     stem_width: 32,
//!     stages: regnetx_400mf.stages()?,
//!     classes: 1000,
//!     conv_bias: false,
//! };
//! assert_eq!(network.summary(1, 224, 224)?.params, 5_157_512);
//! # Ok::<(), regatta_anynet::NetworkError>(())
//! ```

mod network;

mod validation;

mod generator;

mod complexity;

mod table;

pub use complexity::{BlockShape, LayerKind, LayerRow, Summary};
pub use generator::{Generator, Rounding};
pub use network::{Block, Network, Stage, regnetx32};
pub use validation::NetworkError;
