//! The settings of the transforms, as torchvision and pycls name them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use regatta_image::{Filter, JpegMode};

use super::geometry::Evaluation;

/// All transforms of a data set's images. Everything that is random is off by [default](Self::default).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransformSettings {
    /// The run's seed.
    pub seed: u64,
    /// Side of the network's input in training, in pixels.
    pub resolution_px: u32,
    /// Filter for resizing.
    pub filter: Filter,
    /// Whether the filter covers all pixels of an image that is made smaller.
    pub antialias: bool,
    /// How JPEG images are decoded.
    pub jpeg: JpegMode,
    /// The random part of an image that is resized to the network's input. Without it, training images are whole.
    pub random_resized_crop: Option<RandomResizedCrop>,
    /// Probability of a flip, 0 to 1.
    pub horizontal_flip_probability: f64,
    /// Zero padding on each side in pixels, before a crop of the image's own size at a random position.
    pub random_crop_padding_px: usize,
    /// Operations drawn for every image.
    pub auto_augment: AutoAugment,
    /// Interpolation of [`auto_augment`](Self::auto_augment)'s shears, translations and rotations.
    pub interpolation: Interpolation,
    /// Ranges of the random changes of colour.
    pub color_jitter: ColorJitter,
    /// Standard deviation of AlexNet's PCA lighting; pycls uses 0.1. 0 means none.
    pub pca_lighting_std: f64,
    /// The rectangle that is erased after normalisation.
    pub random_erasing: RandomErasing,
    /// Order of the output's channels.
    pub channel_order: ChannelOrder,
    /// Geometry of the validation images.
    pub evaluation: Evaluation,
}

impl Default for TransformSettings {
    fn default() -> Self {
        Self {
            seed: 0,
            resolution_px: 224,
            filter: Filter::Bilinear,
            antialias: true,
            jpeg: JpegMode::Exact,
            random_resized_crop: None,
            horizontal_flip_probability: 0.0,
            random_crop_padding_px: 0,
            auto_augment: AutoAugment::None,
            interpolation: Interpolation::Bilinear,
            color_jitter: ColorJitter::default(),
            pca_lighting_std: 0.0,
            random_erasing: RandomErasing { probability: 0.0, value: ErasedValue::Zero },
            channel_order: ChannelOrder::Rgb,
            evaluation: Evaluation { resize_px: 256, crop_px: 224 },
        }
    }
}

/// Ranges of [`random_resized_crop`](super::geometry::random_resized_crop).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomResizedCrop {
    /// Smallest and largest area, in areas of the image.
    pub scale: [f64; 2],
    /// Smallest and largest ratio of width to height.
    pub ratio: [f64; 2],
}

impl Default for RandomResizedCrop {
    /// The ranges of torchvision, which are those of the Inception networks.
    fn default() -> Self {
        Self { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] }
    }
}

/// How operations are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoAugment {
    /// No operations.
    None,
    /// RandAugment (Cubuk and others, 2019), as in torchvision.
    RandAugment {
        /// Number of operations, one after the other; torchvision's default is 2.
        operations: usize,
        /// Magnitude of all operations, 0 to 30; torchvision's default is 9.
        magnitude: usize,
    },
    /// One operation of a random magnitude (Müller and Hutter, "TrivialAugment", 2021), as in torchvision.
    TrivialAugmentWide,
}

/// How shears, translations and rotations read pixels between pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// The nearest pixel, the default of torchvision's classes.
    Nearest,
    /// Linear in both directions, the default of torchvision's reference script.
    Bilinear,
}

/// Ranges of torchvision's `ColorJitter`; 0 leaves a property unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ColorJitter {
    /// The factor is drawn from `max(0, 1 - brightness)` to `1 + brightness`.
    pub brightness: f64,
    /// As for brightness.
    pub contrast: f64,
    /// As for brightness.
    pub saturation: f64,
    /// The shift is drawn from `-hue` to `hue`, at most 0.5; 1 is a full turn of the colour wheel.
    pub hue: f64,
}

/// Random erasing (Zhong and others, 2017) with torchvision's ranges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomErasing {
    /// Probability, 0 to 1.
    pub probability: f64,
    /// What replaces the pixels.
    pub value: ErasedValue,
}

/// What replaces erased pixels, after normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErasedValue {
    /// The mean of the normalisation.
    Zero,
    /// Standard normal noise, each value on its own.
    Noise,
}

/// Order of the channels of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelOrder {
    /// Red first, as torchvision's weights expect it.
    Rgb,
    /// Blue first, as pycls's weights expect it.
    Bgr,
}
