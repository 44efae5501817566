//! Augmentation of a training image, applied to its bytes at the stored size.

use regatta_random::SplitMix64;

use crate::random::Purpose;
use crate::source::ImageShape;

/// Random crop after zero padding, then a random horizontal flip (the order of torchvision's recipes).
///
/// The result depends only on (seed, epoch, image index), and the random numbers of either operation do not depend on the
/// settings of the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augment {
    /// The run's seed.
    pub seed: u64,
    /// Probability of a flip, 0 to 1.
    pub horizontal_flip_probability: f64,
    /// Zero padding on each side in pixels, before a crop of the image's own size at a random position.
    pub random_crop_padding_px: usize,
}

impl Augment {
    /// Returns whether it leaves every image unchanged.
    pub fn is_identity(&self) -> bool {
        self.horizontal_flip_probability <= 0.0 && self.random_crop_padding_px == 0
    }

    /// Writes the augmented image to `pixels_hwc`. Both buffers hold one image of `shape`.
    ///
    /// # Panics
    /// If a buffer has another length.
    pub fn apply(
        &self,
        (epoch, index): (u64, usize),
        shape: ImageShape,
        stored: &[u8],
        pixels_hwc: &mut [u8],
    ) {
        assert_eq!((stored.len(), pixels_hwc.len()), (shape.bytes(), shape.bytes()), "buffers of one image");
        let (flip, mut random) = self.draw_flip((epoch, index));
        let positions = 2 * self.random_crop_padding_px as u64 + 1;
        let mut offset = || random.below(positions) as isize - self.random_crop_padding_px as isize;
        let (down, right) = (offset(), offset());
        crop_at(down, right, shape, stored, pixels_hwc);
        if flip {
            flip_horizontally(shape, pixels_hwc);
        }
    }

    /// Returns whether [`apply`](Self::apply) flips image `index` in `epoch`.
    pub fn flips(&self, (epoch, index): (u64, usize)) -> bool {
        self.draw_flip((epoch, index)).0
    }

    /// Draws the flip, and returns it with the stream of the crop's position. The flip comes first and is always drawn, so that
    /// neither depends on the other's settings.
    fn draw_flip(&self, (epoch, index): (u64, usize)) -> (bool, SplitMix64) {
        let mut random = Purpose::Augmentation.stream(&[self.seed, epoch, index as u64]);
        (random.unit() < self.horizontal_flip_probability, random)
    }
}

/// Copies the window whose corner is offset by `down` and `right` pixels from the image's; pixels outside the image are zero.
fn crop_at(down: isize, right: isize, shape: ImageShape, stored: &[u8], pixels_hwc: &mut [u8]) {
    let row_bytes = shape.width * shape.channels;
    let shift = (right.unsigned_abs() * shape.channels).min(row_bytes);
    let kept = row_bytes - shift;
    for (y, row) in pixels_hwc.chunks_exact_mut(row_bytes).enumerate() {
        let Some(source) = y.checked_add_signed(down).filter(|&source| source < shape.height) else {
            row.fill(0);
            continue;
        };
        let stored = &stored[source * row_bytes..][..row_bytes];
        if right >= 0 {
            row[..kept].copy_from_slice(&stored[shift..]);
            row[kept..].fill(0);
        } else {
            row[shift..].copy_from_slice(&stored[..kept]);
            row[..shift].fill(0);
        }
    }
}

/// Mirrors every row, pixel by pixel.
pub(crate) fn flip_horizontally(shape: ImageShape, pixels_hwc: &mut [u8]) {
    let channels = shape.channels;
    for row_wc in pixels_hwc.chunks_exact_mut(shape.width * channels) {
        let (left, right) = row_wc.split_at_mut(shape.width / 2 * channels);
        let mirrored = right.rchunks_exact_mut(channels);
        for (pixel, other) in left.chunks_exact_mut(channels).zip(mirrored) {
            pixel.swap_with_slice(other);
        }
    }
}
