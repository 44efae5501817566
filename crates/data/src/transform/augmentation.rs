//! The training transforms that follow the crop, in the order of torchvision's reference script.

use super::channels::swap_red_and_blue;
use regatta_image::{Region, Size};

use super::geometry::random_resized_crop;
use super::settings::{AutoAugment, ChannelOrder, Interpolation, TransformSettings};
use crate::augment::{Augment, flip_horizontally};
use crate::device_draw::DeviceDraw;
use crate::random::Purpose;
use crate::source::ImageShape;

/// Each of the following is drawn from a stream of its own, so that none depends on which others are in use.
impl TransformSettings {
    /// Returns the part of training image `index` that is resized to the network's input in `epoch`, for an image of `size`.
    pub fn training_region(&self, (epoch, index): (u64, usize), size: Size) -> Region {
        let whole = Region { left: 0, top: 0, width: size.width, height: size.height };
        self.random_resized_crop.map_or(whole, |crop| {
            let mut random = Purpose::RandomResizedCrop.stream(&[self.seed, epoch, index as u64]);
            random_resized_crop(size, crop.scale, crop.ratio, &mut random)
        })
    }

    /// Applies to a training image, which was cropped and resized to `shape`, what follows on its bytes: the crop of the padded
    /// image, the flip, RandAugment or TrivialAugmentWide, colour jitter, and the order of the channels. Returns what is left to
    /// the device: lighting, normalisation, erasing.
    ///
    /// # Panics
    /// If the buffer does not have the length of an image of `shape`, or if colours are to be changed where there are not three
    /// channels.
    pub fn augment(
        &self,
        (epoch, index): (u64, usize),
        shape: ImageShape,
        pixels_hwc: &mut [u8],
        scratch: &mut Vec<u8>,
    ) -> DeviceDraw {
        assert_eq!(pixels_hwc.len(), shape.bytes(), "a buffer of one image");
        let size = Size { width: shape.width as u32, height: shape.height as u32 };
        self.crop_and_flip((epoch, index), shape, pixels_hwc, scratch);
        self.change_colors((epoch, index), size, pixels_hwc, scratch);
        self.order_channels(pixels_hwc);
        self.draw_for_device((epoch, index), size)
    }

    /// Exchanges red and blue if the output's order is BGR. Validation images need it as well.
    ///
    /// # Panics
    /// If the order is BGR and the buffer is not one of pixels of three channels.
    pub fn order_channels(&self, pixels_hwc: &mut [u8]) {
        if self.channel_order == ChannelOrder::Bgr {
            assert!(pixels_hwc.len().is_multiple_of(3), "BGR images have three channels");
            swap_red_and_blue(pixels_hwc);
        }
    }

    fn crop_and_flip(
        &self,
        key: (u64, usize),
        shape: ImageShape,
        pixels_hwc: &mut [u8],
        scratch: &mut Vec<u8>,
    ) {
        let augment = Augment {
            seed: self.seed,
            horizontal_flip_probability: self.horizontal_flip_probability,
            random_crop_padding_px: self.random_crop_padding_px,
        };
        if augment.random_crop_padding_px > 0 {
            scratch.clear();
            scratch.extend_from_slice(pixels_hwc);
            augment.apply(key, shape, scratch, pixels_hwc);
        } else if augment.flips(key) {
            flip_horizontally(shape, pixels_hwc);
        }
    }

    fn change_colors(&self, (epoch, index): (u64, usize), size: Size, rgb: &mut [u8], scratch: &mut Vec<u8>) {
        let key = [self.seed, epoch, index as u64];
        if self.auto_augment != AutoAugment::None {
            let mut random = Purpose::AutoAugment.stream(&key);
            for _ in 0..self.auto_augment.operations() {
                let operation = self.auto_augment.draw(size, &mut random);
                operation.apply(rgb, size, self.interpolation, scratch);
            }
        }
        if !self.color_jitter.is_identity() {
            let jitter = self.color_jitter.draw(&mut Purpose::ColorJitter.stream(&key));
            for operation in jitter.0 {
                operation.apply(rgb, size, Interpolation::Nearest, scratch);
            }
        }
    }
}
