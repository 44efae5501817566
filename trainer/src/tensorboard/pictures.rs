//! Pictures of tensors: training images as the network is given them, and the filters of the first layer.

use anyhow::Result;
use regatta_data::{ChannelOrder, ImageShape};
use tch::{Device, Kind, Tensor};

/// Largest number of images on a sheet.
const MOST_IMAGES: i64 = 64;
/// Largest number of their pixels together.
const MOST_PIXELS: i64 = 1 << 24;
/// Largest number of filters on a sheet.
const MOST_FILTERS: i64 = 256;
/// Least height of a filter on a sheet, in pixels.
const FILTER_PX: i64 = 24;

/// Images of one size in RGB.
pub(super) struct Tiles {
    /// Their size.
    pub(super) shape: ImageShape,
    /// Bytes of each image, rows from top to bottom, channels innermost.
    pub(super) rgb: Vec<Vec<u8>>,
}

/// The first images of a step, on the device, as many as a sheet takes.
#[derive(Debug, Default)]
pub(crate) struct FirstImages {
    micro_batches: Vec<Tensor>,
}

impl FirstImages {
    /// Adds a micro-batch `[n, c, h, w]`, as the network is given it.
    pub(crate) fn add(&mut self, images_nchw: &Tensor) {
        let [images, _, height, width] = images_nchw.size()[..] else {
            unreachable!("images have four axes")
        };
        let most = (MOST_PIXELS / (height * width)).clamp(1, MOST_IMAGES);
        let taken: i64 = self.micro_batches.iter().map(|images| images.size()[0]).sum();
        let count = images.min(most - taken);
        if count > 0 {
            self.micro_batches.push(images_nchw.narrow(0, 0, count).copy());
        }
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.micro_batches.is_empty()
    }

    /// Returns the images `[n, c, h, w]`.
    pub(super) fn images_nchw(&self) -> Tensor {
        Tensor::cat(&self.micro_batches, 0)
    }
}

/// Undoes the normalisation of images `[n, c, h, w]` by `mean` and `std` of each channel.
pub(super) fn images(images_nchw: &Tensor, mean: &[f64], std: &[f64], order: ChannelOrder) -> Result<Tiles> {
    let per_channel = |values: &[f64]| Tensor::from_slice(values).view([1, -1, 1, 1]);
    let normalized = images_nchw.to_device(Device::Cpu).to_kind(Kind::Double);
    tiles(&(normalized * per_channel(std) + per_channel(mean)), order)
}

/// Shows filters `[n, c, h, w]`, enlarged: 0 is gray, the largest weights of either sign are black and white.
pub(super) fn filters(weights_nchw: &Tensor, order: ChannelOrder) -> Result<Tiles> {
    let weights = weights_nchw.detach().to_device(Device::Cpu).to_kind(Kind::Double);
    let weights = weights.narrow(0, 0, weights.size()[0].min(MOST_FILTERS)).nan_to_num(0.0, 0.0, 0.0);
    let largest = weights.abs().max().clamp_min(f64::MIN_POSITIVE);
    let [_, _, height, width] = weights.size()[..] else { unreachable!("filters have four axes") };
    let factor = (FILTER_PX / height).max(1);
    let enlarged = weights.upsample_nearest2d([factor * height, factor * width], None, None);
    tiles(&(enlarged / largest * 0.5 + 0.5), order)
}

/// Turns values from 0 to 1 `[n, c, h, w]` into bytes. Of other than three channels, the first is shown, in gray.
fn tiles(values_nchw: &Tensor, order: ChannelOrder) -> Result<Tiles> {
    let [count, channels, height, width] = values_nchw.size()[..] else {
        unreachable!("images have four axes")
    };
    let rgb = match (channels, order) {
        (3, ChannelOrder::Bgr) => values_nchw.flip([1]),
        (3, ChannelOrder::Rgb) => values_nchw.shallow_clone(),
        _ => values_nchw.narrow(1, 0, 1).expand([count, 3, height, width], false),
    };
    let bytes = (rgb.clamp(0.0, 1.0) * 255.0).round().to_kind(Kind::Uint8);
    let bytes: Vec<u8> = Vec::try_from(bytes.permute([0, 2, 3, 1]).reshape([-1]))?;
    let [height, width] = [height, width].map(|side| side as usize);
    let rgb = bytes.chunks_exact(3 * height * width).map(<[u8]>::to_vec).collect();
    Ok(Tiles { shape: ImageShape { channels: 3, height, width }, rgb })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_their_bytes_again() {
        let bytes = [[0, 255, 7], [128, 1, 254]];
        let (mean, std) = ([0.5, 0.25, 0.125], [0.5, 2.0, 0.25]);
        let normalized = |pixel: [u8; 3]| {
            let value = |channel: usize| {
                (f32::from(pixel[channel]) / 255.0 - mean[channel] as f32) / std[channel] as f32
            };
            [value(0), value(1), value(2)]
        };
        let values: Vec<f32> = bytes.iter().flat_map(|&pixel| normalized(pixel)).collect();
        let images_nchw = Tensor::from_slice(&values).view([2, 3, 1, 1]);
        let shown = images(&images_nchw, &mean, &std, ChannelOrder::Rgb).unwrap();
        assert_eq!(shown.rgb, bytes.map(|pixel| pixel.to_vec()));
        let shown = images(&images_nchw, &mean, &std, ChannelOrder::Bgr).unwrap();
        assert_eq!(shown.rgb[0], [7, 255, 0]);
    }

    #[test]
    fn filters_are_enlarged_and_gray_at_zero() {
        let weights = Tensor::from_slice(&[0.0f32, 2.0, -2.0, f32::NAN]).view([1, 1, 2, 2]);
        let shown = filters(&weights, ChannelOrder::Rgb).unwrap();
        assert_eq!((shown.shape.height, shown.shape.width), (24, 24));
        let pixel = |y: usize, x: usize| &shown.rgb[0][3 * (24 * y + x)..][..3];
        assert_eq!([pixel(0, 0), pixel(0, 23), pixel(23, 0)], [[128; 3], [255; 3], [0; 3]]);
        assert_eq!(pixel(23, 23), [128; 3]);
    }

    #[test]
    fn a_sheet_takes_the_first_images() {
        let mut first = FirstImages::default();
        assert!(first.is_empty());
        for _ in 0..3 {
            first.add(&Tensor::zeros([30, 1, 4, 4], (Kind::Float, Device::Cpu)));
        }
        assert_eq!(first.images_nchw().size(), [64, 1, 4, 4]);
    }
}
