//! Random changes of a training image, on its bytes at the stored size.

use crate::dataset::ImageShape;
use crate::random::Purpose;

/// Random crop after zero padding, then a random horizontal flip (the order of torchvision's recipes).
///
/// What happens to an image is a function of (seed, epoch, its index) alone, and what one of the two draws does
/// not depend on the other's setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augment {
    /// The run's seed.
    pub seed: u64,
    /// Probability of a flip, 0 to 1.
    pub horizontal_flip_probability: f64,
    /// Pixels of zeros put around the image before a crop of its own size is taken anywhere in it.
    pub random_crop_padding_px: usize,
}

impl Augment {
    /// Whether it never changes an image.
    pub fn is_identity(&self) -> bool {
        self.horizontal_flip_probability <= 0.0 && self.random_crop_padding_px == 0
    }

    /// Changes image `index` for `epoch` in place.
    ///
    /// # Panics
    /// If `pixels_hwc` is not of `shape`.
    pub fn apply(&self, epoch: u64, index: usize, shape: ImageShape, pixels_hwc: &mut [u8]) {
        assert_eq!(pixels_hwc.len(), shape.bytes(), "a buffer of one image");
        let mut random = Purpose::Augmentation.stream(&[self.seed, epoch, index as u64]);
        let positions = 2 * self.random_crop_padding_px as u64 + 1;
        // Three draws of one number each, so that the flip does not depend on the padding.
        let flip = random.unit() < self.horizontal_flip_probability;
        let mut offset = || random.below(positions) as isize - self.random_crop_padding_px as isize;
        let (down, right) = (offset(), offset());
        if (down, right) != (0, 0) {
            crop_at(down, right, shape, pixels_hwc);
        }
        if flip {
            flip_horizontally(shape, pixels_hwc);
        }
    }
}

/// Moves the window `down` and `right` pixels over the image; what it finds outside is zero.
fn crop_at(down: isize, right: isize, shape: ImageShape, pixels_hwc: &mut [u8]) {
    let row_bytes = shape.width * shape.channels;
    let shift = (right.unsigned_abs() * shape.channels).min(row_bytes);
    for k in 0..shape.height {
        // Go towards the row that is read next, so that it is still unchanged.
        let y = if down < 0 { shape.height - 1 - k } else { k };
        let target = y * row_bytes;
        match y.checked_add_signed(down).filter(|&source| source < shape.height) {
            None => pixels_hwc[target..target + row_bytes].fill(0),
            Some(source) if right >= 0 => {
                let source = source * row_bytes;
                pixels_hwc.copy_within(source + shift..source + row_bytes, target);
                pixels_hwc[target + row_bytes - shift..target + row_bytes].fill(0);
            }
            Some(source) => {
                let source = source * row_bytes;
                pixels_hwc.copy_within(source..source + row_bytes - shift, target + shift);
                pixels_hwc[target..target + shift].fill(0);
            }
        }
    }
}

/// Mirrors every row, pixel by pixel.
fn flip_horizontally(shape: ImageShape, pixels_hwc: &mut [u8]) {
    for row_wc in pixels_hwc.chunks_exact_mut(shape.width * shape.channels) {
        // Reversing the whole row reverses each pixel's channels too; these are turned back.
        row_wc.reverse();
        for pixel in row_wc.chunks_exact_mut(shape.channels) {
            pixel.reverse();
        }
    }
}
