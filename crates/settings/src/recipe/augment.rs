//! `[augment]`: its keys, the values that depend on the source of the images, and their checks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::{AutoAugment, ErasedValue};
use crate::error::RecipeError;
use crate::interval::{AT_LEAST_ZERO, Checked, FRACTION, Interval};
use crate::place::Places;
use crate::recipe::DataSource;

/// torchvision's `RandomResizedCrop`, as in Szegedy et al. 2014.
const SCALE: [f64; 2] = [0.08, 1.0];
const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];

/// Alphas of a beta distribution at which double precision still resolves its values; 0 means off.
const ALPHA: Interval = Interval {
    contains: |alpha| alpha == 0.0 || (1e-3..=1e3).contains(&alpha),
    words: "0, or a number from 0.001 to 1000",
};

/// `[augment]`: random changes of training images, in the order of torchvision's reference recipe. Each depends only on the
/// seed, the epoch and the image, and mixing on the seed, the epoch and the micro-batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawAugment {
    /// Smallest and largest fraction of an image's area that a random crop takes before it is resized to
    /// data.resolution_px. Default: [0.08, 1.0] for image_folder and tar_shards, otherwise unset, no such crop.
    pub random_resized_crop_scale: Option<Vec<f64>>,
    /// Smallest and largest ratio of width to height of such a crop. Default: [0.75, 1.3333333333333333] where there is
    /// such a crop, otherwise unset.
    pub random_resized_crop_ratio: Option<Vec<f64>>,
    /// Zero padding on each side before a random crop back to the stored size, in pixels of the stored image (not for
    /// image_folder and tar_shards); 0 disables it. Default: 0.
    #[schemars(range(min = 0, max = 4096))]
    pub random_crop_padding_px: u32,
    /// Probability that a training image is mirrored left to right, 0 to 1. Default: 0.5 for image_folder and tar_shards,
    /// otherwise 0.0.
    pub horizontal_flip_probability: Option<f64>,
    /// Automatic augmentation of colour images: "rand_augment", "trivial_augment_wide" or "none". Default: "none".
    pub auto_augment: AutoAugment,
    /// Number of operations of rand_augment. Default: 2.
    #[schemars(range(min = 1, max = 16))]
    pub rand_augment_operations: u32,
    /// Magnitude of rand_augment's operations, of 31 levels. Default: 9.
    #[schemars(range(min = 0, max = 30))]
    pub rand_augment_magnitude: u32,
    /// Largest change of brightness, contrast, saturation and hue: factors are drawn from 1 - x to 1 + x, the hue's shift
    /// from -x to x (at most 0.5). Default: [0.0, 0.0, 0.0, 0.0].
    pub color_jitter: Vec<f64>,
    /// Standard deviation of the lighting change along the principal components of ImageNet's colours (AlexNet's; 0.1 in
    /// the RegNet paper), at least 0. Default: 0.0.
    pub pca_lighting_std: f64,
    /// Probability that a random rectangle is erased after normalisation, 0 to 1. Default: 0.0.
    pub random_erasing_probability: f64,
    /// What replaces an erased rectangle: "zero" or "noise". Default: "zero".
    pub random_erasing_value: ErasedValue,
    /// Mixup: each image of a micro-batch becomes a weighted mean of itself and another one, and its label likewise. The
    /// weight is drawn from Beta(alpha, alpha), once for each micro-batch; 0 disables it. Default: 0.0.
    pub mixup_alpha: f64,
    /// CutMix: a rectangle of each image of a micro-batch is replaced by that of another one, and its label in proportion.
    /// The share that is kept is drawn from Beta(alpha, alpha), once for each micro-batch; 0 disables it. Default: 0.0.
    pub cutmix_alpha: f64,
    /// Probability that the images of a micro-batch are mixed, 0 to 1, if mixup or cutmix is on. Default: 1.0.
    pub mix_probability: f64,
    /// Probability of cutmix instead of mixup, 0 to 1, if both are on. Default: 0.5.
    pub mix_switch_probability: f64,
}

impl Default for RawAugment {
    fn default() -> Self {
        Self {
            random_resized_crop_scale: None,
            random_resized_crop_ratio: None,
            random_crop_padding_px: 0,
            horizontal_flip_probability: None,
            auto_augment: AutoAugment::None,
            rand_augment_operations: 2,
            rand_augment_magnitude: 9,
            color_jitter: vec![0.0; 4],
            pca_lighting_std: 0.0,
            random_erasing_probability: 0.0,
            random_erasing_value: ErasedValue::Zero,
            mixup_alpha: 0.0,
            cutmix_alpha: 0.0,
            mix_probability: 1.0,
            mix_switch_probability: 0.5,
        }
    }
}

/// Resolved `[augment]`: random changes of training images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AugmentSettings {
    /// Smallest and largest fraction of the area of a random resized crop; unset means that there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_resized_crop_scale: Option<[f64; 2]>,
    /// Smallest and largest ratio of width to height of a random resized crop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_resized_crop_ratio: Option<[f64; 2]>,
    /// Padding before a random crop, in pixels of the stored image; 0 disables it.
    pub random_crop_padding_px: u32,
    /// Probability that a training image is mirrored left to right, 0 to 1.
    pub horizontal_flip_probability: f64,
    /// Policy of automatic augmentation.
    pub auto_augment: AutoAugment,
    /// Number of operations of RandAugment.
    pub rand_augment_operations: u32,
    /// Magnitude of RandAugment's operations, 0 to 30.
    pub rand_augment_magnitude: u32,
    /// Largest change of brightness, contrast, saturation and hue.
    pub color_jitter: [f64; 4],
    /// Standard deviation of the lighting change, on the scale of principal components.
    pub pca_lighting_std: f64,
    /// Probability that a rectangle is erased, 0 to 1.
    pub random_erasing_probability: f64,
    /// What replaces an erased rectangle.
    pub random_erasing_value: ErasedValue,
    /// Alpha of Mixup's distribution; 0 means no Mixup.
    pub mixup_alpha: f64,
    /// Alpha of CutMix's distribution; 0 means no CutMix.
    pub cutmix_alpha: f64,
    /// Probability that the images of a micro-batch are mixed, 0 to 1.
    pub mix_probability: f64,
    /// Probability of CutMix where both are on, 0 to 1.
    pub mix_switch_probability: f64,
}

impl RawAugment {
    /// Fills in the values that depend on `source` where the recipe sets none.
    ///
    /// # Errors
    /// A list of the wrong length, or a key that does not fit the source.
    pub(crate) fn resolve(
        self,
        source: &DataSource,
        places: &Places,
    ) -> Result<AugmentSettings, RecipeError> {
        let is_image_files = source.is_image_files();
        if is_image_files && self.random_crop_padding_px > 0 {
            let key = "augment.random_crop_padding_px";
            let problem = format!(
                "{key} is for data sets whose images have one size: leave it out, image files are cropped as \
                 augment.random_resized_crop_scale says"
            );
            return Err(places.conflict(key, problem));
        }
        let pair = |list: Option<Vec<f64>>, key: &str, default: Option<[f64; 2]>| {
            let Some(list) = list else { return Ok(default) };
            let range = <[f64; 2]>::try_from(&list[..]).ok().filter(|[low, high]| 0.0 < *low && low <= high);
            let accepted = "two numbers above 0, the smaller one first";
            places.require(range.is_some(), key, &list, accepted).map(|()| range)
        };
        let scale = self.random_resized_crop_scale;
        let scale = pair(scale, "augment.random_resized_crop_scale", is_image_files.then_some(SCALE))?;
        let ratio = self.random_resized_crop_ratio;
        let ratio = pair(ratio, "augment.random_resized_crop_ratio", scale.map(|_| RATIO))?;
        let jitter = <[f64; 4]>::try_from(&self.color_jitter[..]).map_err(|_| RecipeError::Value {
            place: places.of("augment.color_jitter"),
            key: "augment.color_jitter".into(),
            found: format!("{:?}", self.color_jitter),
            accepted: "four numbers: brightness, contrast, saturation and hue".into(),
        })?;
        Ok(AugmentSettings {
            random_resized_crop_scale: scale,
            random_resized_crop_ratio: ratio,
            random_crop_padding_px: self.random_crop_padding_px,
            horizontal_flip_probability: self.horizontal_flip_probability.unwrap_or(if is_image_files {
                0.5
            } else {
                0.0
            }),
            auto_augment: self.auto_augment,
            rand_augment_operations: self.rand_augment_operations,
            rand_augment_magnitude: self.rand_augment_magnitude,
            color_jitter: jitter,
            pca_lighting_std: self.pca_lighting_std,
            random_erasing_probability: self.random_erasing_probability,
            random_erasing_value: self.random_erasing_value,
            mixup_alpha: self.mixup_alpha,
            cutmix_alpha: self.cutmix_alpha,
            mix_probability: self.mix_probability,
            mix_switch_probability: self.mix_switch_probability,
        })
    }
}

impl AugmentSettings {
    /// Returns mixup or cutmix, if one of them is on.
    pub(crate) fn mixes(&self) -> Option<&'static str> {
        let kinds = [("mixup", self.mixup_alpha), ("cutmix", self.cutmix_alpha)];
        kinds.into_iter().find(|&(_, alpha)| alpha > 0.0).map(|(name, _)| name)
    }

    /// Checks these settings for a network with `in_channels` input channels.
    ///
    /// # Errors
    /// A value out of its range, or a change of colours where images are not of three channels.
    pub(crate) fn check(&self, in_channels: u32, places: &Places) -> Checked {
        let fractions = [
            ("augment.horizontal_flip_probability", self.horizontal_flip_probability),
            ("augment.random_erasing_probability", self.random_erasing_probability),
            ("augment.mix_probability", self.mix_probability),
            ("augment.mix_switch_probability", self.mix_switch_probability),
        ];
        for (key, value) in fractions {
            places.require_in(&FRACTION, key, value)?;
        }
        places.require_in(&AT_LEAST_ZERO, "augment.pca_lighting_std", self.pca_lighting_std)?;
        places.require_in(&ALPHA, "augment.mixup_alpha", self.mixup_alpha)?;
        places.require_in(&ALPHA, "augment.cutmix_alpha", self.cutmix_alpha)?;
        if let Some(scale) = self.random_resized_crop_scale {
            let accepted = "fractions of the image's area, at most 1";
            places.require(scale[1] <= 1.0, "augment.random_resized_crop_scale", scale, accepted)?;
        } else if self.random_resized_crop_ratio.is_some() {
            let key = "augment.random_resized_crop_ratio";
            let problem =
                format!("{key} is set without augment.random_resized_crop_scale: set both, or none");
            return Err(places.conflict(key, problem));
        }
        let [factors @ .., hue] = self.color_jitter;
        let accepted = "numbers of at least 0, the last of at most 0.5";
        let is_valid = factors.iter().all(|&factor| factor >= 0.0) && (0.0..=0.5).contains(&hue);
        places.require(is_valid, "augment.color_jitter", self.color_jitter, accepted)?;
        self.check_colours(in_channels, places)
    }

    fn check_colours(&self, in_channels: u32, places: &Places) -> Checked {
        let of_colours = [
            ("augment.auto_augment", self.auto_augment != AutoAugment::None),
            ("augment.color_jitter", self.color_jitter.iter().any(|&change| change > 0.0)),
            ("augment.pca_lighting_std", self.pca_lighting_std > 0.0),
        ];
        match of_colours.into_iter().find(|&(_, is_used)| is_used && in_channels != 3) {
            None => Ok(()),
            Some((key, _)) => {
                let problem =
                    format!("{key} is for colour images, but there are {in_channels} channels: leave it out");
                Err(places.conflict(key, problem))
            }
        }
    }
}
