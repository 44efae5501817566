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

/// Encoding of the bytes of a source's images. Formats whose bytes include the image's size would be added here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Pixels, with the same shape for all images: one byte per value, row by row, channels innermost.
    Pixels(ImageShape),
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
