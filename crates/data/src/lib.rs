//! Data sets, sampling and transforms, from files to the bytes of a micro-batch, without tensors.
//!
//! The order of images is a pure function: [`Sampler`] permutes them by (seed, epoch), and [`Shard`] assigns the micro-batches
//! of a step to ranks. A [`Source`] returns the stored bytes of an image, and a [`Transform`] turns them into pixels, with
//! random numbers seeded by (seed, epoch, image index); [`Images`] combines the two. None of them depends on threads, restarts
//! or other ranks, nor does [`MixSettings::draw`], which says how a micro-batch's images are mixed. A [`Loader`] reads the images
//! of batches on threads, several batches ahead. [`DatasetName::facts`] is the table of known data sets.
//! [`ImageFolder`] and [`TarShards`] read encoded images by an index ([`FolderIndex`], [`ShardIndex`]), which one rank builds or
//! finds in its cache and shares as bytes.

mod known;
mod source;

mod cifar;
mod folder;
mod idx;
mod idx_file;
mod subset;
mod synthetic;
mod tar;

mod order;
mod sampler;
mod shard;

mod augment;
mod device_draw;
mod images;
mod mix;
mod transform;

mod bad_image;
mod block;
mod loader;

mod check;
mod pack;

mod beta;
mod cache;
mod error;
mod fields;
mod names;
mod parallel;
mod random;
mod regular_file;

pub use augment::Augment;
pub use bad_image::{BadImage, OnBadImage};
pub use block::{DRAW_BYTES, LABEL_BYTES, block_bytes, header_bytes, loader_bytes, write_header};
pub use cache::{IndexOrigin, user_cache_folder};
pub use check::{ClassCount, SplitReport, UnreadableImage, check};
pub use device_draw::{DeviceDraw, DeviceWork, NOISE_LEN, Rectangle, noise_table};
pub use error::DataError;
pub use folder::{FolderError, FolderIndex, ImageFolder, Indexing, LabelFault, Skipped};
pub use images::{Images, Labelled};
pub use known::{DatasetName, Format, KnownDataset, find_file};
pub use loader::{BatchRequest, LoadedBatch, Loader, LoaderSettings, auto_workers};
pub use mix::{Mix, MixSettings, cutmix};
pub use order::{Window, WindowedOrder};
pub use pack::{PackSettings, Shrink, pack};
pub use parallel::Progress;
pub use regatta_image::{Filter, JpegMode, Region, Resizer, Size, encode_png};
pub use sampler::{MicroBatch, Sampler, micro_batch_seed};
pub use shard::Shard;
pub use source::{Encoding, ImageShape, Source, Split};
pub use subset::Subset;
pub use synthetic::{SyntheticDataset, SyntheticSettings};
pub use tar::{
    MemberFault, ReadAhead, ShardFault, ShardIndex, ShardWriter, TarError, TarShards, check_shard_pattern,
    expand_shards, stage, write_classes,
};
pub use transform::{
    AutoAugment, AutoAugmentOperation, CentreCrop, ChannelOrder, ColorJitter, ErasedValue, Evaluation,
    Interpolation, Jitter, MAGNITUDES, Operation, RandomErasing, RandomResizedCrop, Scratch, Transform,
    TransformSettings, draw_erased, gray_to_rgb, lighting, random_resized_crop,
};
