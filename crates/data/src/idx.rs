//! Reader of data sets with two idx files per split. Their images are kept in memory as bytes.

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::idx_file::{self, IdxFile};
use crate::known::{Format, KnownDataset};
use crate::source::{Encoding, ImageShape, Source, Split, names_if_any};

/// Two idx files per split, images before labels.
pub(crate) const IDX: Format = Format {
    file: "an idx file",
    // Two zero bytes, then the type code of unsigned bytes.
    magic: &[0, 0, 8],
    open: |known, folder, split| Ok(Box::new(IdxDataset::open(known, folder, split)?)),
};

/// One split of a data set of idx files, held in memory as stored.
#[derive(Debug)]
struct IdxDataset {
    shape: ImageShape,
    class_names: Vec<String>,
    classes: usize,
    images_path: PathBuf,
    images_nhw: Vec<u8>,
    labels: Vec<u8>,
}

impl IdxDataset {
    /// Reads the two files, gzip or plain, with or without a `.gz` extension.
    ///
    /// # Errors
    /// Files that are missing, are not valid idx files, differ in their number of entries, or have labels out of range.
    fn open(known: &KnownDataset, folder: &Path, split: Split) -> Result<Self, DataError> {
        let &[images, labels] = known.files(split) else { unreachable!("two idx files a split") };
        let (images_path, labels_path) = (known.path_of(images, folder)?, known.path_of(labels, folder)?);
        let classes = known.classes as usize;
        let images = idx_file::read_images(images_path)?;
        let labels = idx_file::read_labels(labels_path)?;
        check_counts(&images, &labels)?;
        check_labels(&labels, classes)?;
        let shape =
            ImageShape { channels: 1, height: images.sizes[1] as usize, width: images.sizes[2] as usize };
        Ok(Self {
            shape,
            class_names: known.class_names.iter().map(ToString::to_string).collect(),
            classes,
            images_path: images.path,
            images_nhw: images.bytes,
            labels: labels.bytes,
        })
    }
}

impl Source for IdxDataset {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn class_names(&self) -> Option<&[String]> {
        names_if_any(&self.class_names)
    }

    fn name(&self, index: usize) -> String {
        format!("image {index} of {}", self.images_path.display())
    }

    fn encoding(&self) -> Encoding {
        Encoding::Pixels(self.shape)
    }

    fn fetch(&self, index: usize, stored: &mut Vec<u8>) -> Result<i64, DataError> {
        let bytes = self.shape.bytes();
        stored.clear();
        stored.extend_from_slice(&self.images_nhw[index * bytes..(index + 1) * bytes]);
        Ok(self.labels[index].into())
    }
}

fn check_counts(images: &IdxFile, labels: &IdxFile) -> Result<(), DataError> {
    if images.sizes[0] == labels.sizes[0] {
        return Ok(());
    }
    Err(DataError::CountMismatch {
        images_path: images.path.clone(),
        images: images.sizes[0] as usize,
        labels_path: labels.path.clone(),
        labels: labels.sizes[0] as usize,
    })
}

fn check_labels(labels: &IdxFile, classes: usize) -> Result<(), DataError> {
    match labels.bytes.iter().position(|&label| usize::from(label) >= classes) {
        None => Ok(()),
        Some(index) => Err(DataError::LabelOutOfRange {
            path: labels.path.clone(),
            index,
            label: labels.bytes[index],
            classes,
        }),
    }
}
