//! Datasets, the sampler and batches as bytes: everything between the files and a micro-batch, without tensors.
//!
//! The order of a run is a pure function: [`Sampler`] permutes by (seed, epoch), [`Shard`] says which
//! micro-batches of a step a rank takes, [`Augment`] draws by (seed, epoch, image index), and [`fill_batch`]
//! puts a micro-batch into a caller's buffer. None of them knows threads, restarts or other ranks.

mod dataset;
mod idx;
mod idx_file;
mod synthetic;

mod sampler;
mod shard;

mod augment;
mod batch;

mod error;
mod random;

pub use augment::Augment;
pub use batch::fill_batch;
pub use dataset::{Dataset, ImageShape, Split};
pub use error::DataError;
pub use idx::{FASHION_MNIST, IdxDataset, IdxSource, MNIST};
pub use sampler::{MicroBatch, Sampler, micro_batch_seed};
pub use shard::Shard;
pub use synthetic::{SyntheticDataset, SyntheticSettings};
