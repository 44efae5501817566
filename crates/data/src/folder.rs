//! Images in files, in folders that are named after their classes.

mod error;
mod index;
pub(crate) mod labels;
mod walk;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use self::error::{FolderError, LabelFault};
pub use self::index::{FolderIndex, Indexing};
pub use self::walk::Skipped;
pub(crate) use self::walk::is_image;
use crate::error::DataError;
use crate::source::{Encoding, Source, Split, names_if_any};

/// Largest encoded image, in bytes: what its pixels may take (three bytes for each of about 179 million). A damaged index or a
/// sparse file cannot make a rank allocate more.
pub(crate) const MOST_IMAGE_BYTES: u64 = 512 << 20;

/// Returns the folder of a split.
fn split_folder(folder: &Path, split: Split) -> PathBuf {
    folder.join(match split {
        Split::Train => "train",
        Split::Validation => "val",
    })
}

/// One split of an image folder. An image is read when it is fetched.
#[derive(Debug)]
pub struct ImageFolder {
    /// The folder of the split.
    folder: PathBuf,
    index: FolderIndex,
}

impl ImageFolder {
    /// Combines the data set's folder, which has `train` and `val`, with the index of one of them.
    pub fn new(folder: &Path, split: Split, index: FolderIndex) -> Self {
        Self { folder: split_folder(folder, split), index }
    }

    /// Returns its index.
    pub fn index(&self) -> &FolderIndex {
        &self.index
    }
}

impl Source for ImageFolder {
    fn len(&self) -> usize {
        self.index.len()
    }

    fn classes(&self) -> usize {
        self.index.classes().len()
    }

    fn class_names(&self) -> Option<&[String]> {
        names_if_any(self.index.classes())
    }

    fn name(&self, index: usize) -> String {
        self.folder.join(self.index.path(index)).display().to_string()
    }

    fn encoding(&self) -> Encoding {
        Encoding::Compressed
    }

    fn fetch(&self, index: usize, stored: &mut Vec<u8>) -> Result<i64, DataError> {
        let path = self.folder.join(self.index.path(index));
        read_file(&path, stored)?;
        Ok(self.index.label(index) as i64)
    }
}

/// Replaces the content of `stored` with a file's.
fn read_file(path: &Path, stored: &mut Vec<u8>) -> Result<(), DataError> {
    let failed = |source| DataError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    if bytes > MOST_IMAGE_BYTES {
        return Err(DataError::ImageTooLarge {
            name: path.display().to_string(),
            bytes,
            most: MOST_IMAGE_BYTES,
        });
    }
    // Only a longer image than any before it fills new memory with zeros.
    stored.resize(bytes as usize, 0);
    file.read_exact(stored).map_err(failed)
}
