//! Data sets, the sampler and batches as bytes: everything between the files and a micro-batch, without tensors.
//!
//! The order of a run is a pure function: [`Sampler`] permutes by (seed, epoch), and [`Shard`] says which micro-batches of a
//! step a rank takes. A [`Source`] gives the stored bytes of an image, and a [`Transform`] makes pixels of them, drawing by
//! (seed, epoch, image index); [`Images`] puts the two together. None of them knows threads, restarts or other ranks. The
//! data sets that recipes name are a table, [`DatasetName::facts`].

mod known;
mod source;

mod idx;
mod idx_file;
mod synthetic;

mod sampler;
mod shard;

mod augment;
mod images;
mod transform;

mod error;
mod random;

pub use augment::Augment;
pub use error::DataError;
pub use images::Images;
pub use known::{DatasetName, Format, KnownDataset, find_file};
pub use sampler::{MicroBatch, Sampler, micro_batch_seed};
pub use shard::Shard;
pub use source::{Encoding, ImageShape, Source, Split};
pub use synthetic::{SyntheticDataset, SyntheticSettings};
pub use transform::{Scratch, Transform};
