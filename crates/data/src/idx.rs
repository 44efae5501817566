//! Fashion-MNIST and MNIST: a data set of two idx files a split, its images kept as bytes in memory.

use std::path::Path;

use crate::dataset::{Dataset, ImageShape, Split};
use crate::error::DataError;
use crate::idx_file::{self, IdxFile};

/// What distinguishes one data set of idx files from another.
#[derive(Clone, Copy, Debug)]
pub struct IdxSource {
    /// Name for messages.
    pub name: &'static str,
    /// Number of classes.
    pub classes: usize,
    /// What a user without the files can do, as the end of a sentence.
    pub how_to_get: &'static str,
}

/// Zalando's Fashion-MNIST: 60,000 and 10,000 grayscale images of 28x28 in ten classes.
pub const FASHION_MNIST: IdxSource = IdxSource {
    name: "Fashion-MNIST",
    classes: 10,
    how_to_get: "`make` fetches it into datasets/fashion-mnist of the checkout and the Debian package \
                 dataset-fashion-mnist puts it under /usr/share/datasets/fashion-mnist, where it is found; any other folder \
                 is named in data.folder or REGATTA__DATA__FOLDER",
};

/// LeCun's MNIST: 60,000 and 10,000 grayscale images of 28x28 in ten classes.
pub const MNIST: IdxSource = IdxSource {
    name: "MNIST",
    classes: 10,
    how_to_get: "set data.folder to the folder with its four idx files (gzip or plain)",
};

/// One split of a data set of idx files, all of it in memory as the bytes that are stored.
#[derive(Debug)]
pub struct IdxDataset {
    shape: ImageShape,
    classes: usize,
    images_nhw: Vec<u8>,
    labels: Vec<u8>,
}

impl IdxDataset {
    /// Reads `{train,t10k}-images-idx3-ubyte` and `{train,t10k}-labels-idx1-ubyte` from `folder`, gzip or plain,
    /// with or without `.gz` at the end of the name.
    ///
    /// # Errors
    /// Any [`DataError`]: a missing folder or file, or one whose content is not what it should be.
    pub fn open(source: &IdxSource, folder: &Path, split: Split) -> Result<Self, DataError> {
        let prefix = match split {
            Split::Train => "train",
            Split::Validation => "t10k",
        };
        let images_path = idx_file::find(source, folder, &format!("{prefix}-images-idx3-ubyte"))?;
        let labels_path = idx_file::find(source, folder, &format!("{prefix}-labels-idx1-ubyte"))?;
        let images = idx_file::read_images(images_path)?;
        let labels = idx_file::read_labels(labels_path)?;
        check_counts(&images, &labels)?;
        check_labels(&labels, source.classes)?;
        let shape =
            ImageShape { channels: 1, height: images.sizes[1] as usize, width: images.sizes[2] as usize };
        Ok(Self { shape, classes: source.classes, images_nhw: images.bytes, labels: labels.bytes })
    }
}

impl Dataset for IdxDataset {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn read(&self, index: usize, pixels_hwc: &mut [u8]) -> i64 {
        let bytes = self.shape.bytes();
        pixels_hwc.copy_from_slice(&self.images_nhw[index * bytes..(index + 1) * bytes]);
        i64::from(self.labels[index])
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
