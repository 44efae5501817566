//! Which part of an image the network is given: the random crop of training, and evaluation's resize and centre crop.

use regatta_image::{Region, Size};
use regatta_random::SplitMix64;

/// Evaluation's geometry: the shorter side is resized to one length, then the centre is cropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// Shorter side of the resized image, in pixels.
    pub resize_px: u32,
    /// Side of the square that is cropped from its centre, in pixels.
    pub crop_px: u32,
}

/// Where a centre crop lies in the resized image and in the output. It is smaller than the output only where the resized image
/// is; the rest of the output is then black.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CentreCrop {
    /// The columns and rows of the resized image that are kept. No other is needed.
    pub kept: Region,
    /// The output's column at which they begin.
    pub left: u32,
    /// The output's row at which they begin.
    pub top: u32,
}

/// Draws the part of an image of `size` that is resized to the network's input: an area of `scale` times the image's, and a
/// ratio of width to height of `ratio`, uniform in its logarithm. This is torchvision's `RandomResizedCrop.make_params`: ten
/// attempts, then the central crop whose ratio is the nearest in the range.
pub fn random_resized_crop(size: Size, scale: [f64; 2], ratio: [f64; 2], random: &mut SplitMix64) -> Region {
    let area = f64::from(size.width) * f64::from(size.height);
    for _ in 0..10 {
        let target_area = area * uniform(random, scale);
        let aspect_ratio = libm::exp(uniform(random, ratio.map(libm::log)));
        let width = (target_area * aspect_ratio).sqrt().round_ties_even() as u32;
        let height = (target_area / aspect_ratio).sqrt().round_ties_even() as u32;
        if (1..=size.width).contains(&width) && (1..=size.height).contains(&height) {
            let top = below(random, size.height - height + 1);
            let left = below(random, size.width - width + 1);
            return Region { left, top, width, height };
        }
    }
    central_crop(size, ratio)
}

/// Returns the largest central crop whose ratio of width to height lies in `ratio`.
fn central_crop(size: Size, [narrowest, widest]: [f64; 2]) -> Region {
    let (image_width, image_height) = (f64::from(size.width), f64::from(size.height));
    let image_ratio = image_width / image_height;
    let (width, height) = if image_ratio < narrowest {
        (size.width, (image_width / narrowest).round_ties_even() as u32)
    } else if image_ratio > widest {
        ((image_height * widest).round_ties_even() as u32, size.height)
    } else {
        (size.width, size.height)
    };
    // torchvision would ask for 0 pixels here if the ratio were above 2 and the image one pixel wide.
    let (width, height) = (width.clamp(1, size.width), height.clamp(1, size.height));
    Region { left: (size.width - width) / 2, top: (size.height - height) / 2, width, height }
}

impl Evaluation {
    /// Returns the size to which an image of `size` is resized. The longer side is rounded down, as in torchvision.
    pub fn resized(&self, size: Size) -> Size {
        let short = u64::from(size.width.min(size.height));
        // Python divides the integers after it multiplied them, rounds to a double, then truncates.
        let scaled = |long: u32| ((u64::from(self.resize_px) * u64::from(long)) as f64 / short as f64) as u32;
        if size.width <= size.height {
            Size { width: self.resize_px, height: scaled(size.height) }
        } else {
            Size { width: scaled(size.width), height: self.resize_px }
        }
    }

    /// Returns which columns and rows of the image resized to `resized` the output keeps (torchvision's `center_crop`).
    pub fn centre_crop(&self, resized: Size) -> CentreCrop {
        let (left, kept_left, width) = centred(resized.width, self.crop_px);
        let (top, kept_top, height) = centred(resized.height, self.crop_px);
        CentreCrop { kept: Region { left: kept_left, top: kept_top, width, height }, left, top }
    }
}

impl CentreCrop {
    /// Copies the kept pixels, three bytes each, into a square output, whose rest becomes black. `part_hwc` is the `part` of the
    /// resized image that was computed.
    pub(crate) fn copy(&self, part_hwc: &[u8], part: Region, output_hwc: &mut [u8]) {
        let side = (output_hwc.len() / 3).isqrt();
        let bytes = |pixels: u32| 3 * pixels as usize;
        let (left, width) = (bytes(self.kept.left - part.left), bytes(self.kept.width));
        output_hwc.fill(0);
        let rows = part_hwc.chunks_exact(bytes(part.width)).skip((self.kept.top - part.top) as usize);
        let outputs = output_hwc.chunks_exact_mut(3 * side).skip(self.top as usize);
        for (row, output) in rows.take(self.kept.height as usize).zip(outputs) {
            output[bytes(self.left)..][..width].copy_from_slice(&row[left..][..width]);
        }
    }
}

/// Returns, for one direction: where the kept pixels begin in the output, where they begin in the image, and their number.
fn centred(image: u32, output: u32) -> (u32, u32, u32) {
    if image < output {
        return ((output - image) / 2, 0, image);
    }
    let left = (f64::from(image - output) / 2.0).round_ties_even() as u32;
    (0, left, output)
}

/// Draws a number of `[lowest, highest)`.
pub(crate) fn uniform(random: &mut SplitMix64, [lowest, highest]: [f64; 2]) -> f64 {
    lowest + (highest - lowest) * random.unit()
}

/// Draws an integer below `bound`, which is at least 1.
pub(crate) fn below(random: &mut SplitMix64, bound: u32) -> u32 {
    random.below(u64::from(bound)) as u32
}
