//! The AnyNet description: a stem, stages of residual bottleneck blocks, a head.

use serde::{Deserialize, Serialize};

/// The stem's 3x3 convolution halves the resolution.
pub(crate) const STEM_STRIDE: i64 = 2;

/// A network of the AnyNet template (Radosavovic et al. 2020, section 3.2).
///
/// The stem is a 3x3 convolution of stride 2, BatchNorm and ReLU; the body is `stages` in order; the head is the
/// spatial mean and a linear classifier with bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Channels of the input images.
    pub in_channels: i64,
    /// Channels that leave the stem.
    pub stem_width: i64,
    /// The body's stages, first to last.
    pub stages: Vec<Stage>,
    /// Outputs of the classifier.
    pub classes: i64,
    /// Whether convolutions have biases (the book's do, the paper's do not: a BatchNorm follows each of them).
    pub conv_bias: bool,
}

/// A run of blocks of one width; the first of them has the stride.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Blocks in the stage.
    pub depth: i64,
    /// Channels that leave each block.
    pub width: i64,
    /// Stride of the first block; the others have stride 1.
    pub stride: i64,
    /// Channels of one group of the 3x3 convolution.
    pub group_width: i64,
    /// Channels inside the block over channels that leave it (1 in every published RegNet).
    pub bottleneck_ratio: f64,
}

/// One residual block: 1x1 convolution, 3x3 grouped convolution with the stride, 1x1 convolution, each with
/// BatchNorm, ReLU after the first two and after the sum with the shortcut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Name as in pycls: `s1.b1` is the first block of the first stage.
    pub name: String,
    /// Channels that enter.
    pub in_width: i64,
    /// Channels that leave.
    pub width: i64,
    /// Channels that enter and leave the 3x3 convolution.
    pub bottleneck_width: i64,
    /// Groups of the 3x3 convolution.
    pub groups: i64,
    /// Stride of the 3x3 convolution.
    pub stride: i64,
    /// Whether the shortcut is a 1x1 convolution with BatchNorm (width or stride changes), not the identity.
    pub projection: bool,
}

impl Stage {
    /// Channels of the 3x3 convolution: `width * bottleneck_ratio`, rounded half to even as pycls does.
    pub fn bottleneck_width(&self) -> i64 {
        (self.width as f64 * self.bottleneck_ratio).round_ties_even() as i64
    }

    /// Groups of the 3x3 convolution; exact in a validated network.
    pub fn groups(&self) -> i64 {
        self.bottleneck_width() / self.group_width
    }
}

impl Network {
    /// The body's blocks in order of execution. The network must be valid ([`Network::validate`]).
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut in_width = self.stem_width;
        for (stage_index, stage) in self.stages.iter().enumerate() {
            for block_index in 0..stage.depth {
                let stride = if block_index == 0 { stage.stride } else { 1 };
                blocks.push(Block {
                    name: format!("s{}.b{}", stage_index + 1, block_index + 1),
                    in_width,
                    width: stage.width,
                    bottleneck_width: stage.bottleneck_width(),
                    groups: stage.groups(),
                    stride,
                    projection: in_width != stage.width || stride != 1,
                });
                in_width = stage.width;
            }
        }
        blocks
    }

    /// Height and width in pixels of the last feature map for images of `height` x `width` pixels.
    ///
    /// At 1x1, BatchNorm in the last stage sees one value per channel and image.
    pub fn smallest_map(&self, height: i64, width: i64) -> (i64, i64) {
        let strides = self.stages.iter().map(|stage| stage.stride);
        std::iter::once(STEM_STRIDE).chain(strides).fold((height, width), |(height, width), stride| {
            (strided(height, stride), strided(width, stride))
        })
    }
}

/// Pixels that a convolution of odd kernel and "same" padding leaves of `pixels`.
pub(crate) fn strided(pixels: i64, stride: i64) -> i64 {
    (pixels - 1) / stride + 1
}

/// RegNetX32 of "Dive into Deep Learning" (section 8.8, <https://d2l.ai>): two stages, convolutions with biases;
/// 179,290 parameters at one input channel and ten classes.
pub fn regnetx32(in_channels: i64, classes: i64) -> Network {
    let stage = |depth, width| Stage { depth, width, stride: 2, group_width: 16, bottleneck_ratio: 1.0 };
    Network {
        in_channels,
        stem_width: 32,
        stages: vec![stage(4, 32), stage(6, 80)],
        classes,
        conv_bias: true,
    }
}
