//! From the bytes that a source stores to the pixels of a micro-batch.

use crate::augment::Augment;
use crate::error::DataError;
use crate::source::{Encoding, ImageShape};

/// Turns an image's stored bytes into pixels of one shape, changed at random where it augments. Any number of threads may
/// apply it at once, each with a [`Scratch`] of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    encoding: Encoding,
    augment: Option<Augment>,
}

/// A worker's buffers, which keep their memory from image to image.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The image as its source stores it.
    pub(crate) stored: Vec<u8>,
}

impl Transform {
    /// Of images that are stored as `encoding` says.
    pub fn new(encoding: Encoding, augment: Option<Augment>) -> Self {
        Self { encoding, augment: augment.filter(|augment| !augment.is_identity()) }
    }

    /// The shape of what [`apply`](Self::apply) writes. The device resizes it to the network's input.
    pub fn output(&self) -> ImageShape {
        let Encoding::Pixels(shape) = self.encoding;
        shape
    }

    /// Writes the image whose stored bytes are in `scratch` to `pixels_hwc`: bytes, row by row, channels innermost. What is
    /// drawn is a function of the augmentation's seed, `epoch` and `index` alone.
    ///
    /// Nothing is left to be done for this image alone on the device.
    ///
    /// # Errors
    /// Bytes that are no image of this encoding.
    ///
    /// # Panics
    /// If `pixels_hwc` is not of the [`output`](Self::output)'s shape.
    pub fn apply(
        &self,
        (epoch, index): (u64, usize),
        scratch: &mut Scratch,
        pixels_hwc: &mut [u8],
    ) -> Result<(), DataError> {
        let (shape, stored) = (self.output(), &scratch.stored);
        assert_eq!(pixels_hwc.len(), shape.bytes(), "a buffer of one image");
        if stored.len() != shape.bytes() {
            return Err(DataError::WrongSize { shape, found: stored.len() });
        }
        match &self.augment {
            Some(augment) => augment.apply((epoch, index), shape, stored, pixels_hwc),
            None => pixels_hwc.copy_from_slice(stored),
        }
        Ok(())
    }
}
