//! Reader of CIFAR-10 and CIFAR-100 in their binary version. The images are kept in memory as bytes.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::idx_file::open_decompressed;
use crate::known::{Format, KnownDataset};
use crate::source::{Encoding, ImageShape, Source, Split, names_if_any};

const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

/// Most images in one file; both data sets' training images fit in it.
const MOST_IMAGES: u64 = 50_000;

/// CIFAR-10: each image is a label, then a plane each of red, green and blue.
pub(crate) const CIFAR10: Format = Format {
    file: "a CIFAR-10 file",
    magic: &[],
    open: |known, folder, split| Ok(Box::new(CifarDataset::open(known, folder, split, 1)?)),
};

/// CIFAR-100: each image is a coarse label, which is not used, a fine label, then the planes.
pub(crate) const CIFAR100: Format = Format {
    file: "a CIFAR-100 file",
    magic: &[],
    open: |known, folder, split| Ok(Box::new(CifarDataset::open(known, folder, split, 2)?)),
};

/// One split, held in memory with channels innermost.
#[derive(Debug)]
struct CifarDataset {
    classes: usize,
    class_names: Vec<String>,
    /// The files, each with the number of images up to its end.
    files: Vec<(PathBuf, usize)>,
    images_nhwc: Vec<u8>,
    labels: Vec<u8>,
}

impl CifarDataset {
    /// Reads the files of one split, whose images begin with `label_bytes` labels of which the last counts.
    ///
    /// # Errors
    /// Files that are missing, do not consist of complete images, or have labels out of range.
    fn open(
        known: &KnownDataset,
        folder: &Path,
        split: Split,
        label_bytes: usize,
    ) -> Result<Self, DataError> {
        let mut dataset = Self {
            classes: known.classes as usize,
            class_names: known.class_names.iter().map(ToString::to_string).collect(),
            files: Vec::new(),
            images_nhwc: Vec::new(),
            labels: Vec::new(),
        };
        for name in known.files(split) {
            dataset.add_file(known.path_of(name, folder)?, label_bytes)?;
        }
        Ok(dataset)
    }

    fn add_file(&mut self, path: PathBuf, label_bytes: usize) -> Result<(), DataError> {
        let record_bytes = label_bytes + SHAPE.bytes();
        let bytes = read_records(&path, record_bytes as u64)?;
        for (index, record) in bytes.chunks_exact(record_bytes).enumerate() {
            let (labels, planes) = record.split_at(label_bytes);
            let label = labels[label_bytes - 1];
            if usize::from(label) >= self.classes {
                return Err(DataError::LabelOutOfRange { path, index, label, classes: self.classes });
            }
            self.labels.push(label);
            self.push_planes(planes);
        }
        self.files.push((path, self.labels.len()));
        Ok(())
    }

    fn push_planes(&mut self, planes: &[u8]) {
        let (red, others) = planes.split_at(SHAPE.height * SHAPE.width);
        let (green, blue) = others.split_at(SHAPE.height * SHAPE.width);
        for ((&r, &g), &b) in red.iter().zip(green).zip(blue) {
            self.images_nhwc.extend_from_slice(&[r, g, b]);
        }
    }
}

/// Reads a file of at least one record of `record_bytes` bytes and no incomplete one.
fn read_records(path: &Path, record_bytes: u64) -> Result<Vec<u8>, DataError> {
    let failed = |source| DataError::Read { path: path.to_owned(), source };
    let most = MOST_IMAGES * record_bytes;
    let mut bytes = Vec::new();
    let reader = open_decompressed(path).map_err(failed)?;
    reader.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    let found = bytes.len() as u64;
    let expected = found.div_ceil(record_bytes).max(1) * record_bytes;
    match found {
        _ if found > most => Err(DataError::TrailingBytes { path: path.to_owned(), expected: most, found }),
        _ if found < expected => Err(DataError::Truncated { path: path.to_owned(), expected, found }),
        _ => Ok(bytes),
    }
}

impl Source for CifarDataset {
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
        let file = self.files.partition_point(|&(_, end)| end <= index);
        let start = file.checked_sub(1).map_or(0, |before| self.files[before].1);
        format!("image {} of {}", index - start, self.files[file].0.display())
    }

    fn encoding(&self) -> Encoding {
        Encoding::Pixels(SHAPE)
    }

    fn fetch(&self, index: usize, stored: &mut Vec<u8>) -> Result<i64, DataError> {
        let bytes = SHAPE.bytes();
        stored.clear();
        stored.extend_from_slice(&self.images_nhwc[index * bytes..(index + 1) * bytes]);
        Ok(self.labels[index].into())
    }
}
