//! The keys of `[model]` and `[data]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::{Init, ModelKind, RoundingRule, SourceName};

/// `[model]`: the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawModel {
    /// How the body is described: "anynet" by its `stages`, "regnet" by the RegNet generator's parameters.
    /// Required.
    pub kind: Option<ModelKind>,
    /// Number of classes. Default: that of the data set.
    pub classes: Option<u32>,
    /// Channels of an input image. Default: that of the data set.
    pub in_channels: Option<u32>,
    /// Output channels of the stem, a 3x3 convolution of stride 2. Default: 32.
    pub stem_width: u32,
    /// Whether convolutions have biases (the book's do, the paper's do not). Default: false.
    pub conv_bias: bool,
    /// How weights start: "he_fan_out" as the RegNet paper's code, "xavier_uniform" as Dive into Deep Learning.
    /// Default: "he_fan_out".
    pub init: Init,
    /// The stages, first to last (anynet only, and required there). Default: unset.
    pub stages: Option<Vec<RawStage>>,
    /// Number of blocks of the whole body (regnet only, and required there). Default: unset.
    pub depth: Option<u32>,
    /// Width of the first block, in channels, a multiple of 8 (regnet only, and required there). Default: unset.
    pub w0: Option<u32>,
    /// Slope of the widths, in channels per block, at least 0 (regnet only, and required there). Default: unset.
    pub wa: Option<f64>,
    /// Ratio of the widths of neighbouring stages, above 1 (regnet only, and required there). Default: unset.
    pub wm: Option<f64>,
    /// Channels per group of the 3x3 convolutions (regnet only, and required there). Default: unset.
    pub group_width: Option<u32>,
    /// Bottleneck width over block width (regnet only). Default: 1.0.
    pub bottleneck_ratio: Option<f64>,
    /// How the generator rounds: as the paper's code or as torchvision (regnet only). Default: "pycls".
    pub rounding: Option<RoundingRule>,
}

impl Default for RawModel {
    fn default() -> Self {
        Self {
            kind: None,
            classes: None,
            in_channels: None,
            stem_width: 32,
            conv_bias: false,
            init: Init::HeFanOut,
            stages: None,
            depth: None,
            w0: None,
            wa: None,
            wm: None,
            group_width: None,
            bottleneck_ratio: None,
            rounding: None,
        }
    }
}

/// One entry of `model.stages`: blocks of one width, the first of which changes the resolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawStage {
    /// Number of blocks. Required.
    pub depth: Option<u32>,
    /// Output channels of each block. Required.
    pub width: Option<u32>,
    /// Stride of the first block. Default: 2.
    pub stride: u32,
    /// Channels per group of the 3x3 convolutions. Required.
    pub group_width: Option<u32>,
    /// Bottleneck width over block width. Default: 1.0.
    pub bottleneck_ratio: f64,
}

impl Default for RawStage {
    fn default() -> Self {
        Self { depth: None, width: None, stride: 2, group_width: None, bottleneck_ratio: 1.0 }
    }
}

/// `[data]`: the images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawData {
    /// Where the images come from: "fashion_mnist" and "mnist" read idx files (gzip or not), "synthetic" makes
    /// images up from a seed. Required.
    pub dataset: Option<SourceName>,
    /// Folder of the data set's files (not for synthetic; required for mnist). Default: for fashion_mnist
    /// "/usr/share/datasets/fashion-mnist", where Debian's package puts them.
    pub folder: Option<PathBuf>,
    /// Height and width of the network's input, in pixels; images are resized to it bilinearly. Default: 96.
    pub resolution_px: u32,
    /// Mean of the training images by channel, on the scale 0 to 1; subtracted. Default: that of the data set
    /// (fashion_mnist [0.2860], mnist [0.1307], synthetic 0.5 for each channel).
    pub mean: Option<Vec<f64>>,
    /// Standard deviation of the training images by channel, on the scale 0 to 1; divided by. Default: that of the
    /// data set (fashion_mnist [0.3530], mnist [0.3081], synthetic 0.25 for each channel).
    pub std: Option<Vec<f64>>,
    /// Probability that a training image is mirrored left to right, 0 to 1. Default: 0.0.
    pub horizontal_flip_probability: f64,
    /// Zero padding on each side before a random crop back to the stored size, in pixels of the stored image;
    /// 0 is off. Default: 0.
    pub random_crop_padding_px: u32,
    /// Number of training images (synthetic only, and required there). Default: unset.
    pub synthetic_train_images: Option<usize>,
    /// Number of validation images (synthetic only, and required there). Default: unset.
    pub synthetic_val_images: Option<usize>,
    /// Channels of an image (synthetic only). Default: 3.
    pub synthetic_channels: Option<u32>,
    /// Number of classes (synthetic only). Default: 1000.
    pub synthetic_classes: Option<u32>,
}

impl Default for RawData {
    fn default() -> Self {
        Self {
            dataset: None,
            folder: None,
            resolution_px: 96,
            mean: None,
            std: None,
            horizontal_flip_probability: 0.0,
            random_crop_padding_px: 0,
            synthetic_train_images: None,
            synthetic_val_images: None,
            synthetic_channels: None,
            synthetic_classes: None,
        }
    }
}
