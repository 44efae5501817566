//! A source of labelled images: their stored bytes, fetched by index.

use crate::error::DataError;

/// Size of an image in channels and pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// Values per pixel: 1 for grayscale, 3 for RGB.
    pub channels: usize,
    /// Rows, in pixels.
    pub height: usize,
    /// Columns, in pixels.
    pub width: usize,
}

impl ImageShape {
    /// Bytes of one image: one per channel and pixel.
    pub fn bytes(&self) -> usize {
        self.channels * self.height * self.width
    }
}

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// The training images.
    Train,
    /// The images on which accuracy is measured (called the test set in MNIST and its variants).
    Validation,
}

/// Encoding of the bytes of a source's images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Pixels, with the same shape for all images: one byte per value, row by row, channels innermost.
    Pixels(ImageShape),
    /// A JPEG, PNG or WebP file of any size. Its content decides which, and it always decodes to three channels.
    Compressed,
}

impl Encoding {
    /// Number of channels of an image once it is decoded.
    pub fn channels(self) -> usize {
        match self {
            Self::Pixels(shape) => shape.channels,
            Self::Compressed => 3,
        }
    }
}

/// Returns the names of classes if there are any.
pub(crate) fn names_if_any(class_names: &[String]) -> Option<&[String]> {
    (!class_names.is_empty()).then_some(class_names)
}

/// One split of a data set. Any number of threads may fetch from it concurrently.
pub trait Source: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Returns whether there are no images.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of classes; labels lie in `0..classes`.
    fn classes(&self) -> usize;

    /// Names of the classes in the order of their labels, one for each of [`classes`](Self::classes). None if the data set
    /// does not name them.
    fn class_names(&self) -> Option<&[String]> {
        None
    }

    /// Name of image `index` for messages: its file, its member of a shard, or its number in a file.
    fn name(&self, index: usize) -> String {
        format!("image {index}")
    }

    /// Encoding of the bytes that [`fetch`](Self::fetch) returns.
    fn encoding(&self) -> Encoding;

    /// Replaces the content of `stored` with the bytes of image `index` and returns its label. The buffer keeps its capacity.
    ///
    /// # Errors
    /// If the image cannot be read.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    fn fetch(&self, index: usize, stored: &mut Vec<u8>) -> Result<i64, DataError>;
}
