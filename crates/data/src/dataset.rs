//! What a data set is to the rest of the program: a number of labelled images of one shape, read by index.

/// The shape of every image of a data set as it is stored (before any resizing).
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

/// Labelled images of one shape, read by index from any thread.
pub trait Dataset: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there is no image at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape of every image.
    fn shape(&self) -> ImageShape;

    /// Number of classes; labels lie in `0..classes`.
    fn classes(&self) -> usize;

    /// Writes image `index` into `pixels_hwc` (bytes, row by row, channels innermost) and returns its label.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len) or the buffer is not [`ImageShape::bytes`] long.
    fn read(&self, index: usize, pixels_hwc: &mut [u8]) -> i64;
}
