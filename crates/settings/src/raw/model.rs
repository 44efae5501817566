//! The keys of `[model]` and `[data]`.

use std::path::PathBuf;

use regatta_anynet::{BlockKind, MAX_CHANNELS, MAX_CLASSES, MAX_DEPTH, MAX_STRIDE, Rounding, Stem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::{Init, SourceName};

/// `[model]`: the network, by one of `arch`, `[model.regnet]` and `[model.anynet]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawModel {
    /// A published network by name, such as "regnetx_400mf" or "regnety_1_6gf"; torchvision's and timm's names
    /// ("regnet_x_400mf", "regnetx_004") choose the rounding that theirs has. Default: unset.
    pub arch: Option<String>,
    /// How stages' widths become multiples of the group width: as the paper's code ("pycls") or as torchvision (with arch
    /// and model.regnet only). Default: "pycls".
    pub rounding: Option<Rounding>,
    /// Number of classes. Default: that of the data set.
    #[schemars(range(min = 2, max = MAX_CLASSES))]
    pub classes: Option<u32>,
    /// Channels of an input image. Default: that of the data set.
    #[schemars(range(min = 1, max = MAX_CHANNELS))]
    pub in_channels: Option<u32>,
    /// What comes before the body: "simple" a 3x3 convolution of stride 2, "resnet" a 7x7 one of stride 2 with max-pooling,
    /// "cifar" a 3x3 one of stride 1, "flatten" the image as a vector. Default: "simple", of mlp blocks "flatten".
    pub stem: Option<Stem>,
    /// Output channels of the stem's convolution. Default: 32.
    #[schemars(range(min = 1, max = MAX_CHANNELS))]
    pub stem_width: Option<u32>,
    /// Whether convolutions have biases (the book's do, the paper's do not). Default: false.
    pub conv_bias: bool,
    /// Probability with which training zeroes a feature before the classifier, 0 to below 1. Default: 0.0.
    pub dropout: f64,
    /// How weights start: "he_fan_out" as the RegNet paper's code, "xavier_uniform" as Dive into Deep Learning.
    /// Default: "he_fan_out".
    pub init: Init,
    /// A safetensors file whose weights the run starts from, with pycls's, torchvision's or timm's names; its classifier is
    /// left out where the number of classes differs. Default: unset.
    pub pretrained: Option<PathBuf>,
    /// The RegNet generator's parameters.
    pub regnet: RawRegNet,
    /// The body stage by stage.
    pub anynet: RawAnyNet,
}

impl Default for RawModel {
    fn default() -> Self {
        Self {
            arch: None,
            rounding: None,
            classes: None,
            in_channels: None,
            stem: None,
            stem_width: None,
            conv_bias: false,
            dropout: 0.0,
            init: Init::HeFanOut,
            pretrained: None,
            regnet: RawRegNet::default(),
            anynet: RawAnyNet::default(),
        }
    }
}

/// `[model.regnet]`: a body that the RegNet generator draws.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawRegNet {
    /// Number of blocks of the whole body. Required.
    #[schemars(range(min = 1, max = MAX_DEPTH))]
    pub depth: Option<u32>,
    /// Width of the first block, in channels, a multiple of 8. Required.
    #[schemars(range(min = 8, max = MAX_CHANNELS))]
    pub w0: Option<u32>,
    /// Slope of the widths, in channels per block, at least 0. Required.
    pub wa: Option<f64>,
    /// Ratio of the widths of neighbouring stages, above 1. Required.
    pub wm: Option<f64>,
    /// Channels per group of the 3x3 convolutions. Required.
    #[schemars(range(min = 1, max = MAX_CHANNELS))]
    pub group_width: Option<u32>,
    /// Bottleneck width over block width. Default: 1.0.
    pub bottleneck_ratio: Option<f64>,
    /// Width of the squeeze over channels that enter a block, 0.25 in RegNetY; 0 is no squeeze-and-excitation.
    /// Default: 0.0.
    pub se_ratio: Option<f64>,
}

/// `[model.anynet]`: a body stage by stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawAnyNet {
    /// What stages are made of: "resnext" (1x1, grouped 3x3 and 1x1 with a shortcut: X and Y), "resnet_basic" (two 3x3 with
    /// a shortcut), "vanilla" (two 3x3), "mlp" (fully connected). Default: "resnext".
    pub block: Option<BlockKind>,
    /// The stages, first to last. Required.
    pub stages: Option<Vec<RawStage>>,
}

/// One entry of `model.anynet.stages`: blocks of one width, the first of which changes the resolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawStage {
    /// Number of blocks. Required.
    #[schemars(range(min = 1, max = MAX_DEPTH))]
    pub depth: Option<u32>,
    /// Output channels of each block. Required.
    #[schemars(range(min = 1, max = MAX_CHANNELS))]
    pub width: Option<u32>,
    /// Stride of the first block. Default: 2, of mlp blocks 1.
    #[schemars(range(min = 1, max = MAX_STRIDE))]
    pub stride: Option<u32>,
    /// Channels per group of the 3x3 convolutions (resnext only, and required there). Default: unset.
    #[schemars(range(min = 1, max = MAX_CHANNELS))]
    pub group_width: Option<u32>,
    /// Bottleneck width over block width (resnext only). Default: 1.0.
    pub bottleneck_ratio: f64,
    /// Width of the squeeze over channels that enter the block; 0 is no squeeze-and-excitation (resnext only).
    /// Default: 0.0.
    pub se_ratio: f64,
}

impl Default for RawStage {
    fn default() -> Self {
        Self {
            depth: None,
            width: None,
            stride: None,
            group_width: None,
            bottleneck_ratio: 1.0,
            se_ratio: 0.0,
        }
    }
}

/// `[data]`: the images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawData {
    /// Where the images come from: the files of a known data set (gzip or not), or "synthetic", which makes images up
    /// from a seed. Required.
    pub dataset: Option<SourceName>,
    /// Folder of the data set's files (not for synthetic; required for mnist). Default: for fashion_mnist
    /// datasets/fashion-mnist in the working folder or the checkout, where `make` puts them, else
    /// /usr/share/datasets/fashion-mnist, where Debian's package does.
    pub folder: Option<PathBuf>,
    /// Height and width of the network's input, in pixels; images are resized to it bilinearly. Default: 96.
    #[schemars(range(min = 1, max = 4096))]
    pub resolution_px: u32,
    /// Mean of the training images by channel, on the scale 0 to 1; subtracted. Default: that of the data set;
    /// a run's config.toml holds it.
    pub mean: Option<Vec<f64>>,
    /// Standard deviation of the training images by channel, on the scale 0 to 1; divided by. Default: that of the
    /// data set; a run's config.toml holds it.
    pub std: Option<Vec<f64>>,
    /// Probability that a training image is mirrored left to right, 0 to 1. Default: 0.0.
    pub horizontal_flip_probability: f64,
    /// Zero padding on each side before a random crop back to the stored size, in pixels of the stored image;
    /// 0 is off. Default: 0.
    #[schemars(range(min = 0, max = 4096))]
    pub random_crop_padding_px: u32,
    /// Number of training images (synthetic only, and required there). Default: unset.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub synthetic_train_images: Option<usize>,
    /// Number of validation images (synthetic only, and required there). Default: unset.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub synthetic_val_images: Option<usize>,
    /// Channels of an image (synthetic only). Default: 3.
    #[schemars(range(min = 1, max = 256))]
    pub synthetic_channels: Option<u32>,
    /// Number of classes (synthetic only). Default: 1000.
    #[schemars(range(min = 2, max = 100_000))]
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
