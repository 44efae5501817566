//! How the images of a micro-batch are mixed with one another: Mixup and CutMix, drawn once for all of its images.

use regatta_image::Size;
use regatta_random::SplitMix64;

use crate::beta::symmetric_beta;
use crate::device_draw::Rectangle;
use crate::random::Purpose;

/// Mixup and CutMix of the training images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixSettings {
    /// The run's seed.
    pub seed: u64,
    /// Mixup's share of an image is drawn from Beta(alpha, alpha); 0 means no Mixup.
    pub mixup_alpha: f64,
    /// CutMix's share of an image is drawn from Beta(alpha, alpha); 0 means no CutMix.
    pub cutmix_alpha: f64,
    /// Probability that a micro-batch is mixed, 0 to 1.
    pub probability: f64,
    /// Probability that a mixed micro-batch gets CutMix, 0 to 1, if both are on.
    pub switch_probability: f64,
}

/// What happens to the images of a micro-batch. The partner of an image is the one before it, that of the first is the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mix {
    /// Nothing.
    None,
    /// Images become a weighted mean of themselves and their partners (Zhang et al. 2018).
    MixUp {
        /// Weight of the image and of its label, in [0, 1].
        kept: f64,
    },
    /// A rectangle is replaced by the partner's (Yun et al. 2019).
    CutMix {
        /// The rectangle, the same in all images; it may be empty.
        replaced: Rectangle,
        /// Weight of the image's label, in [0, 1]: the fraction of the image that is kept.
        kept: f64,
    },
}

impl MixSettings {
    /// Returns whether any micro-batch is mixed.
    pub fn is_on(&self) -> bool {
        (self.mixup_alpha > 0.0 || self.cutmix_alpha > 0.0) && self.probability > 0.0
    }

    /// Draws what happens to the images, of `size`, of micro-batch `number` of an epoch. It depends only on (seed, epoch,
    /// number).
    pub fn draw(&self, epoch: u64, number: usize, size: Size) -> Mix {
        let mut random = Purpose::Mix.stream(&[self.seed, epoch, number as u64]);
        let [is_mixed, switches] = [self.probability, self.switch_probability].map(|it| random.unit() < it);
        let is_cutmix = self.cutmix_alpha > 0.0 && (switches || self.mixup_alpha == 0.0);
        if !self.is_on() || !is_mixed {
            Mix::None
        } else if is_cutmix {
            let share = symmetric_beta(self.cutmix_alpha, &mut random);
            cutmix(size, share, draw_centre(size, &mut random))
        } else {
            Mix::MixUp { kept: symmetric_beta(self.mixup_alpha, &mut random) }
        }
    }
}

/// Draws a column and a row.
fn draw_centre(size: Size, random: &mut SplitMix64) -> [u32; 2] {
    [size.width, size.height].map(|side| random.below(side.into()) as u32)
}

/// Returns CutMix of images of `size`: a rectangle of the image's proportions and of `1 - share` times its area around the pixel
/// `[column, row]`, clipped to the image. The weight of the label is the share that is kept after that. This is
/// torchvision's `CutMix.make_params`.
pub fn cutmix(size: Size, share: f64, centre: [u32; 2]) -> Mix {
    let ratio = 0.5 * (1.0 - share).sqrt();
    let [(left, width), (top, height)] =
        [(size.width, centre[0]), (size.height, centre[1])].map(|(side, centre)| {
            let half = (ratio * f64::from(side)) as u32;
            let first = centre.saturating_sub(half);
            (first, (centre + half).min(side) - first)
        });
    let area = |width: u32, height: u32| f64::from(width) * f64::from(height);
    let kept = 1.0 - area(width, height) / area(size.width, size.height);
    Mix::CutMix { replaced: Rectangle { left, top, width, height }, kept }
}
