//! The AnyNet description: a stem, a body of stages of blocks, a head.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::block::Block;

/// A network of the AnyNet template (Radosavovic et al. 2020, section 3.2).
///
/// The body consists of `stages` in order, all with the same kind of block; the head is the spatial mean and a linear
/// classifier with bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Channels of the input images.
    pub in_channels: i64,
    /// The stem.
    pub stem: Stem,
    /// Output channels of the stem; for [`Stem::Flatten`] the values of an image, channels x height x width.
    pub stem_width: i64,
    /// Kind of block of the body's stages.
    pub block: BlockKind,
    /// The body's stages, first to last.
    pub stages: Vec<Stage>,
    /// Dropout probability of the features before the classifier, in [0, 1).
    pub dropout: f64,
    /// Outputs of the classifier.
    pub classes: i64,
    /// Whether convolutions have biases (those in "Dive into Deep Learning" do; the paper's do not, since a BatchNorm follows
    /// each of them).
    pub conv_bias: bool,
}

/// The layers before the body. The names follow pycls's `simple_stem_in`, `res_stem_in` and `res_stem_cifar`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stem {
    /// 3x3 convolution with stride 2, as in every network of the paper.
    #[default]
    Simple,
    /// 7x7 convolution with stride 2 and 3x3 max-pooling with stride 2, as in ResNet on ImageNet.
    Resnet,
    /// 3x3 convolution with stride 1, as in ResNet on CIFAR.
    Cifar,
    /// Flattens the image into a vector, for fully connected blocks.
    Flatten,
}

/// Kind of block of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// 1x1, grouped 3x3 and 1x1 convolution with a shortcut, optionally with squeeze-and-excitation after the 3x3: the X and Y
    /// blocks of the paper.
    #[default]
    Resnext,
    /// Two 3x3 convolutions with a shortcut (He et al. 2016).
    ResnetBasic,
    /// Two 3x3 convolutions without a shortcut.
    Vanilla,
    /// A fully connected layer, BatchNorm and ReLU; only valid after [`Stem::Flatten`].
    Mlp,
}

/// A sequence of blocks of one width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Number of blocks in the stage.
    pub depth: i64,
    /// Output channels of each block.
    pub width: i64,
    /// Stride of the first block; the others have stride 1.
    pub stride: i64,
    /// Channels per group of the 3x3 convolution; equal to `width` for blocks without groups.
    pub group_width: i64,
    /// Ratio of bottleneck width to block width (1 in every published RegNet, and in blocks that have no bottleneck).
    pub bottleneck_ratio: f64,
    /// Ratio of squeeze-and-excitation width to the block's input channels; 0 if there is no squeeze-and-excitation.
    pub se_ratio: f64,
}

impl Stage {
    /// Returns a stage without groups, bottleneck or squeeze-and-excitation, for blocks other than [`BlockKind::Resnext`].
    pub fn plain(depth: i64, width: i64, stride: i64) -> Self {
        Self { depth, width, stride, group_width: width, bottleneck_ratio: 1.0, se_ratio: 0.0 }
    }

    /// Returns the channels of the 3x3 convolution: `width * bottleneck_ratio`, rounded half to even as in pycls.
    pub fn bottleneck_width(&self) -> i64 {
        (self.width as f64 * self.bottleneck_ratio).round_ties_even() as i64
    }

    /// Returns the number of groups of the 3x3 convolution; the division is exact in a validated network.
    pub fn groups(&self) -> i64 {
        self.bottleneck_width() / self.group_width
    }
}

impl Network {
    /// Returns a network with a body of X or Y blocks and the paper's other choices: three input channels, a simple stem of
    /// width 32, no dropout, no biases.
    pub fn of_stages(stages: Vec<Stage>, classes: i64) -> Self {
        Self {
            in_channels: 3,
            stem: Stem::Simple,
            stem_width: 32,
            block: BlockKind::Resnext,
            stages,
            dropout: 0.0,
            classes,
            conv_bias: false,
        }
    }

    /// Returns the blocks of stem and body in order of execution. The network must be valid ([`Network::validate`]).
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = vec![Block::stem(self)];
        let mut in_width = self.stem_width;
        for (stage_index, stage) in self.stages.iter().enumerate() {
            for block_index in 0..stage.depth {
                let name = format!("s{}.b{}", stage_index + 1, block_index + 1);
                let stride = if block_index == 0 { stage.stride } else { 1 };
                blocks.push(Block::of_body(self.block, stage, name, in_width, stride));
                in_width = stage.width;
            }
        }
        blocks
    }

    /// Returns the number of blocks up to the end of the first `stages` stages: the stem and their blocks; 0 for no stages.
    pub fn blocks_through(&self, stages: usize) -> usize {
        let in_stages: i64 = self.stages.iter().take(stages).map(|stage| stage.depth).sum();
        if stages == 0 { 0 } else { 1 + in_stages as usize }
    }

    /// Returns the input features of the classifier.
    pub fn head_width(&self) -> i64 {
        self.stages.last().map_or(self.stem_width, |stage| stage.width)
    }

    /// Returns height and width in pixels of the last feature map for images of `height` x `width` pixels.
    ///
    /// At 1x1, BatchNorm in the last stage sees one value per channel and image.
    pub fn smallest_map(&self, height: i64, width: i64) -> (i64, i64) {
        let image = Map { channels: self.in_channels, height, width };
        let last = self.blocks().iter().fold(image, |map, block| block.output(map));
        (last.height, last.width)
    }
}

/// Shape of a feature map of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// Channels.
    pub channels: i64,
    /// Rows.
    pub height: i64,
    /// Columns.
    pub width: i64,
}

/// Returns RegNetX32 of "Dive into Deep Learning" (section 8.8, <https://d2l.ai>): two stages, convolutions with biases;
/// 179,290 parameters at one input channel and ten classes.
pub fn regnetx32(in_channels: i64, classes: i64) -> Network {
    let stage = |depth, width| Stage { group_width: 16, ..Stage::plain(depth, width, 2) };
    Network { in_channels, conv_bias: true, ..Network::of_stages(vec![stage(4, 32), stage(6, 80)], classes) }
}
