//! Errors of a data set on disk, with the file and what was found in it.

use std::error::Error;
use std::path::PathBuf;
use std::{io, iter};

use regatta_image::ImageError;

use crate::folder::FolderError;
use crate::source::{ImageShape, Split};
use crate::tar::TarError;

/// A data set that cannot be used (exit code 3).
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The folder of the data set does not exist.
    #[error("{dataset} not found: there is no folder {}; {how_to_get}", .folder.display())]
    FolderMissing {
        /// The data set's name.
        dataset: &'static str,
        /// The missing folder.
        folder: PathBuf,
        /// How to get the data set.
        how_to_get: &'static str,
    },
    /// The folder lacks one of the data set's files.
    #[error("{dataset} not found: neither {name} nor {name}.gz is in {}; {how_to_get}", .folder.display())]
    FileMissing {
        /// The data set's name.
        dataset: &'static str,
        /// The folder that was searched.
        folder: PathBuf,
        /// The file's name without `.gz`.
        name: String,
        /// How to get the data set.
        how_to_get: &'static str,
    },
    /// Reading or decompressing a file failed.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file does not begin with the magic number of this kind of idx file.
    #[error(
        "{} is not an idx file of {content}: it begins with 0x{found:08x} where 0x{expected:08x} is expected",
        .path.display()
    )]
    WrongMagic {
        /// The file.
        path: PathBuf,
        /// "images" or "labels".
        content: &'static str,
        /// The magic number of an idx file of that content.
        expected: u32,
        /// The file's first four bytes, big-endian.
        found: u32,
    },
    /// The header specifies images without pixels, or no entries.
    #[error("{} has no content: its header specifies the sizes {sizes:?}", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// The header's sizes: entries, then rows and columns for images.
        sizes: Vec<u32>,
    },
    /// The file is shorter than its header specifies.
    #[error("{} is truncated: {expected} bytes expected (uncompressed), {found} found", .path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Number of bytes according to the header, including the header.
        expected: u64,
        /// Number of bytes found, after decompression.
        found: u64,
    },
    /// The file is longer than its header specifies.
    #[error(
        "{} has {} trailing bytes: {expected} bytes expected (uncompressed), {found} found",
        .path.display(), *.found - *.expected
    )]
    TrailingBytes {
        /// The file.
        path: PathBuf,
        /// Number of bytes according to the header, including the header.
        expected: u64,
        /// Number of bytes found, after decompression.
        found: u64,
    },
    /// A label is not one of the classes.
    #[error(
        "{}: label {label} of image {index} is out of range, {classes} classes allow 0 to {}",
        .path.display(), *.classes - 1
    )]
    LabelOutOfRange {
        /// The file of labels.
        path: PathBuf,
        /// The first image concerned, counted from 0.
        index: usize,
        /// Its label.
        label: u8,
        /// Number of classes.
        classes: usize,
    },
    /// The files of images and labels have different numbers of entries.
    #[error(
        "images and labels differ in number: {} has {images} images, {} has {labels} labels",
        .images_path.display(), .labels_path.display()
    )]
    CountMismatch {
        /// The file of images.
        images_path: PathBuf,
        /// Number of images in it.
        images: usize,
        /// The file of labels.
        labels_path: PathBuf,
        /// Number of labels in it.
        labels: usize,
    },
    /// An image could not be read when its micro-batch was assembled.
    #[error(
        "cannot read {} image {index}, {name}",
        match split { Split::Train => "training", Split::Validation => "validation" }
    )]
    Image {
        /// The part of the data set.
        split: Split,
        /// The image, counted from 0.
        index: usize,
        /// Its file or place.
        name: String,
        /// The cause.
        source: Box<DataError>,
    },
    /// The folder's shards were packed from other images or with other settings.
    #[error(
        "{} holds {stem} shards of other images or settings: choose another folder, or remove them", .folder.display()
    )]
    OtherPack {
        /// The folder of the shards.
        folder: PathBuf,
        /// The beginning of the shards' names.
        stem: String,
    },
    /// An image cannot be packed.
    #[error("cannot pack {name}")]
    Unpackable {
        /// The image's file or place.
        name: String,
        /// The cause.
        source: ImageError,
    },
    /// The bytes are not an image that can be decoded.
    #[error(transparent)]
    Decode(#[from] ImageError),
    /// A worker of the loader panicked while it read an image.
    #[error(
        "a loader thread panicked at {} image {index}: {message}",
        match split { Split::Train => "training", Split::Validation => "validation" }
    )]
    WorkerPanicked {
        /// The part of the data set.
        split: Split,
        /// The image, counted from 0.
        index: usize,
        /// The panic's message.
        message: String,
    },
    /// An image could not be read, and neither could any of the images chosen to replace it.
    #[error("{attempts} images chosen in place of a bad one cannot be read either")]
    NoReplacement {
        /// Number of images that were tried.
        attempts: u64,
        /// Why the image itself cannot be read.
        source: Box<DataError>,
    },
    /// More images could not be read than `data.max_bad_fraction` allows.
    #[error(
        "{bad} of {images} {} images cannot be read, more than data.max_bad_fraction = {max_fraction:?} allows; see the warnings \
         in the ranks' logs for their names",
        match split { Split::Train => "training", Split::Validation => "validation" }
    )]
    TooManyBadImages {
        /// The part of the data set.
        split: Split,
        /// Number of images that were replaced.
        bad: u64,
        /// Number of images in the split.
        images: usize,
        /// The largest fraction allowed.
        max_fraction: f64,
    },
    /// The source returned a number of bytes that does not match the shape of an image.
    #[error(
        "{found} bytes where an image of {}x{} pixels and {} channels has {}",
        .shape.height, .shape.width, .shape.channels, .shape.bytes()
    )]
    WrongSize {
        /// The shape of an image.
        shape: ImageShape,
        /// Number of bytes returned.
        found: usize,
    },
    /// An image folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Tar shards cannot be used.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// Writing a file failed.
    #[error("cannot write {}", .path.display())]
    Write {
        /// The file or its folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// An encoded image is too large to be read.
    #[error("{name} has {bytes} bytes, and an image may have {most}")]
    ImageTooLarge {
        /// The image.
        name: String,
        /// Its size.
        bytes: u64,
        /// The largest size.
        most: u64,
    },
    /// The bytes of an index are not what was written.
    #[error("the index of the images is damaged ({bytes} bytes)")]
    DamagedIndex {
        /// Their number.
        bytes: usize,
    },
}

impl DataError {
    /// Formats the error and its causes in one line.
    pub fn with_causes(&self) -> String {
        let causes = iter::successors(Some(self as &dyn Error), |&error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }
}
