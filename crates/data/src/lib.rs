//! Data sets, sampling and transforms, from files to the bytes of a micro-batch, without tensors.
//!
//! The order of images is a pure function: [`Sampler`] permutes them by (seed, epoch), and [`Shard`] assigns the micro-batches
//! of a step to ranks. A [`Source`] returns the stored bytes of an image, and a [`Transform`] turns them into pixels, with
//! random numbers seeded by (seed, epoch, image index); [`Images`] combines the two. None of them depends on threads, restarts
//! or other ranks. [`DatasetName::facts`] is the table of known data sets. [`ImageFolder`] and [`TarShards`] read encoded images by
//! an index ([`FolderIndex`], [`ShardIndex`]), which one rank builds or finds in its cache and shares as bytes.

mod known;
mod source;

mod cifar;
mod folder;
mod idx;
mod idx_file;
mod synthetic;
mod tar;

mod order;
mod sampler;
mod shard;

mod augment;
mod images;
mod transform;

mod cache;
mod error;
mod fields;
mod names;
mod parallel;
mod random;

pub use augment::Augment;
pub use cache::{IndexOrigin, user_cache_folder};
pub use error::DataError;
pub use folder::{FolderError, FolderIndex, ImageFolder, Indexing, LabelFault, Skipped};
pub use images::Images;
pub use known::{DatasetName, Format, KnownDataset, find_file};
pub use order::{Window, WindowedOrder};
pub use parallel::Progress;
pub use sampler::{MicroBatch, Sampler, micro_batch_seed};
pub use shard::Shard;
pub use source::{Encoding, ImageShape, Source, Split};
pub use synthetic::{SyntheticDataset, SyntheticSettings};
pub use tar::{
    MemberFault, ReadAhead, ShardFault, ShardIndex, ShardWriter, TarError, TarShards, expand_shards, stage,
    write_classes,
};
pub use transform::{Scratch, Transform};
