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
    /// The images that are trained on.
    Train,
    /// The images that accuracy is measured on (MNIST's family calls them its test set).
    Validation,
}

/// What the bytes of a source's images are. Formats that carry an image's size in its bytes belong here too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Pixels of one shape for all images: a byte a value, row by row, channels innermost.
    Pixels(ImageShape),
}

/// One split of a data set. Any number of threads may fetch from it at once.
pub trait Source: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there is no image at all.
    /// Whether there is no image at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of classes; labels lie in `0..classes`.
    fn classes(&self) -> usize;

    /// What [`fetch`](Self::fetch) gives.
    fn encoding(&self) -> Encoding;

    /// Replaces what is in `stored` with the bytes of image `index`, and returns its label. The buffer keeps its capacity.
    ///
    /// # Errors
    /// An image that cannot be read.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    fn fetch(&self, index: usize, stored: &mut Vec<u8>) -> Result<i64, DataError>;
}
