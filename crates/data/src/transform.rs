//! Turns the bytes that a source stores into the pixels of a micro-batch.

mod settings;

mod geometry;

mod augmentation;
mod auto_augment;
mod color_jitter;
mod operation;

mod affine;
mod color;
mod hue;
mod point;

mod channels;
mod device_draw;
mod view;

pub use auto_augment::{AutoAugmentOperation, MAGNITUDES};
pub use channels::gray_to_rgb;
pub use color_jitter::Jitter;
pub use device_draw::{draw_erased, lighting};
pub use geometry::{CentreCrop, Evaluation, random_resized_crop};
pub use operation::Operation;
pub use settings::{
    AutoAugment, ChannelOrder, ColorJitter, ErasedValue, Interpolation, RandomErasing, RandomResizedCrop,
    TransformSettings,
};

use regatta_image::{Decoder, Region, Resizer, Size};

use self::view::View;

use crate::device_draw::{DeviceDraw, DeviceWork};
use crate::error::DataError;
use crate::source::{Encoding, ImageShape, Split};

/// Turns an image's stored bytes into pixels of one shape, with augmentation for the training split. Any number of threads may
/// apply it concurrently, each with its own [`Scratch`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    encoding: Encoding,
    split: Split,
    settings: TransformSettings,
}

/// A worker's decoder and buffers, which are reused from image to image.
#[derive(Default)]
pub struct Scratch {
    /// The bytes of the image as stored by its source.
    pub(crate) stored: Vec<u8>,
    decoder: Decoder,
    resizer: Resizer,
    /// The decoded part of the image.
    decoded: Vec<u8>,
    /// Memory for operations that cannot work in place.
    spare: Vec<u8>,
}

impl Transform {
    /// Returns a transform of images stored in `encoding`, of the part `split` of a data set.
    pub fn new(encoding: Encoding, split: Split, settings: TransformSettings) -> Self {
        Self { encoding, split, settings }
    }

    /// Returns the shape of the images that [`apply`](Self::apply) writes. Images that are stored as pixels keep their size,
    /// unless they are cropped and resized at random; the device resizes them to the network's input.
    pub fn output(&self) -> ImageShape {
        let side = match (self.split, self.encoding) {
            (Split::Validation, Encoding::Compressed) => self.settings.evaluation.crop_px,
            (Split::Train, _) if self.crops() => self.settings.resolution_px,
            (_, Encoding::Pixels(shape)) => return shape,
            (Split::Train, Encoding::Compressed) => self.settings.resolution_px,
        } as usize;
        ImageShape { channels: self.encoding.channels(), height: side, width: side }
    }

    /// Writes the image whose stored bytes are in `scratch` to `pixels_hwc`: bytes, row by row, channels innermost. The
    /// augmentation depends only on its seed, `epoch` and `index`. Returns what the device has to do to the image.
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
        let output = self.output();
        assert_eq!(pixels_hwc.len(), output.bytes(), "a buffer of one image");
        match (self.encoding, self.split) {
            (Encoding::Pixels(shape), _) if scratch.stored.len() != shape.bytes() => {
                return Err(DataError::WrongSize { shape, found: scratch.stored.len() });
            }
            (Encoding::Pixels(shape), Split::Train) if self.crops() => {
                self.crop_pixels((epoch, index), shape, scratch, pixels_hwc);
            }
            (Encoding::Pixels(_), _) => pixels_hwc.copy_from_slice(&scratch.stored),
            (Encoding::Compressed, Split::Train) => self.decode_crop((epoch, index), scratch, pixels_hwc)?,
            (Encoding::Compressed, Split::Validation) => self.decode_centre(scratch, pixels_hwc)?,
        }
        Ok(match self.split {
            Split::Train => self.settings.augment((epoch, index), output, pixels_hwc, &mut scratch.spare),
            Split::Validation => {
                self.settings.order_channels(pixels_hwc);
                DeviceDraw::default()
            }
        })
    }

    /// Returns the operations that are left to the device.
    pub fn device_work(&self) -> DeviceWork {
        let TransformSettings { pca_lighting_std, random_erasing, .. } = self.settings;
        match self.split {
            Split::Validation => DeviceWork::default(),
            Split::Train => DeviceWork {
                lighting: pca_lighting_std > 0.0,
                erasing: (random_erasing.probability > 0.0).then_some(random_erasing.value),
            },
        }
    }

    /// Returns whether training images are cropped and resized at random.
    fn crops(&self) -> bool {
        self.settings.random_resized_crop.is_some()
    }

    /// Decodes the part of a training image that is drawn for `epoch`, and resizes it to the network's input.
    fn decode_crop(
        &self,
        key: (u64, usize),
        scratch: &mut Scratch,
        pixels_hwc: &mut [u8],
    ) -> Result<(), DataError> {
        let Scratch { stored, decoder, resizer, decoded, .. } = scratch;
        let TransformSettings { filter, antialias, jpeg, resolution_px: side, .. } = self.settings;
        let target = Size { width: side, height: side };
        let region = self.settings.training_region(key, decoder.header(stored)?.size);
        let size = decoder.decode(stored, Some(region), jpeg, Some(target), decoded)?;
        resizer.resize(decoded, size, filter, antialias, pixels_hwc, target);
        Ok(())
    }

    /// Decodes a validation image, resizes its shorter side and crops the centre.
    fn decode_centre(&self, scratch: &mut Scratch, pixels_hwc: &mut [u8]) -> Result<(), DataError> {
        let Scratch { stored, decoder, resizer, decoded, spare } = scratch;
        let TransformSettings { filter, antialias, jpeg, evaluation, .. } = self.settings;
        let whole = decoder.header(stored)?.size;
        let resized = evaluation.resized(whole);
        let crop = evaluation.centre_crop(resized);
        let view = View::new(whole, resized, crop.kept, filter, antialias);
        let part = view.part.size();
        let size = decoder.decode(stored, Some(view.region), jpeg, Some(part), decoded)?;
        spare.resize(3 * part.width as usize * part.height as usize, 0);
        resizer.resize_window(decoded, (size, view.window(size)), filter, antialias, spare, part);
        crop.copy(spare, view.part, pixels_hwc);
        Ok(())
    }

    /// Crops an image stored as pixels at random, and resizes it to the network's input.
    fn crop_pixels(
        &self,
        key: (u64, usize),
        shape: ImageShape,
        scratch: &mut Scratch,
        pixels_hwc: &mut [u8],
    ) {
        let Scratch { stored, resizer, decoded, .. } = scratch;
        let TransformSettings { filter, antialias, resolution_px: side, .. } = self.settings;
        let Region { left, top, width, height } = self
            .settings
            .training_region(key, Size { width: shape.width as u32, height: shape.height as u32 });
        let (row_bytes, start) = (shape.width * shape.channels, left as usize * shape.channels);
        decoded.clear();
        for row in stored.chunks_exact(row_bytes).skip(top as usize).take(height as usize) {
            decoded.extend_from_slice(&row[start..start + width as usize * shape.channels]);
        }
        let target = Size { width: side, height: side };
        resizer.resize(decoded, Size { width, height }, filter, antialias, pixels_hwc, target);
    }
}
