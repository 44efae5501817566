//! Turns the bytes that a source stores into the pixels of a micro-batch.

use crate::augment::Augment;
use crate::device_draw::DeviceDraw;
use crate::error::DataError;
use crate::source::{Encoding, ImageShape};

/// Turns an image's stored bytes into pixels of one shape, optionally with augmentation. Any number of threads may apply it
/// concurrently, each with its own [`Scratch`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    encoding: Encoding,
    augment: Option<Augment>,
}

/// A worker's buffers, which are reused from image to image.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The bytes of the image as stored by its source.
    pub(crate) stored: Vec<u8>,
}

impl Transform {
    /// Returns a transform of images stored in `encoding`.
    pub fn new(encoding: Encoding, augment: Option<Augment>) -> Self {
        Self { encoding, augment: augment.filter(|augment| !augment.is_identity()) }
    }

    /// Returns the shape of the images that [`apply`](Self::apply) writes. The device resizes them to the network's input.
    pub fn output(&self) -> ImageShape {
        let Encoding::Pixels(shape) = self.encoding;
        shape
    }

    /// Writes the image whose stored bytes are in `scratch` to `pixels_hwc`: bytes, row by row, channels innermost. The
    /// augmentation depends only on its seed, `epoch` and `index`.
    ///
    /// Returns what the device still has to do to this image.
    ///
    /// # Errors
    /// If the bytes are not an image in this encoding.
    ///
    /// # Panics
    /// If `pixels_hwc` does not have the length of an image of shape [`output`](Self::output).
    pub fn apply(
        &self,
        (epoch, index): (u64, usize),
        scratch: &mut Scratch,
        pixels_hwc: &mut [u8],
    ) -> Result<DeviceDraw, DataError> {
        let (shape, stored) = (self.output(), &scratch.stored);
        assert_eq!(pixels_hwc.len(), shape.bytes(), "a buffer of one image");
        if stored.len() != shape.bytes() {
            return Err(DataError::WrongSize { shape, found: stored.len() });
        }
        match &self.augment {
            Some(augment) => augment.apply((epoch, index), shape, stored, pixels_hwc),
            None => pixels_hwc.copy_from_slice(stored),
        }
        Ok(DeviceDraw::default())
    }
}
