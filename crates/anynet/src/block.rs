//! What a block is made of, as data: [`Block::of_body`] is the one place that knows the kinds of block.
//!
//! Names are those of pycls, the reference code of the RegNet paper: `s1.b2.f.a` is the first convolution of the second
//! block of the first stage.

use crate::network::{BlockKind, Map, Network, Stage, Stem};

/// Parts in a row, and a way around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// `stem`, or `s1.b1` for the first block of the first stage.
    pub name: String,
    /// The parts in order of execution.
    pub path: Vec<Part>,
    /// What is added to the path's result, with a ReLU after the sum.
    pub shortcut: Shortcut,
}

/// One part of a block's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Convolution and BatchNorm, perhaps with a ReLU.
    Conv(ConvNorm),
    /// Channels weighted by what a small network makes of their means (Hu et al. 2018).
    SqueezeExcite(SqueezeExcite),
    /// 3x3 maximum of stride 2.
    MaxPool {
        /// Its name.
        name: String,
    },
    /// All values of an image as channels of a single pixel.
    Flatten {
        /// Its name.
        name: String,
    },
}

/// A convolution with "same" padding and the BatchNorm behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvNorm {
    /// Name of the convolution.
    pub name: String,
    /// Name of the BatchNorm.
    pub norm: String,
    /// Name of the ReLU, where there is one.
    pub relu: Option<String>,
    /// Channels that enter.
    pub in_width: i64,
    /// Channels that leave.
    pub out_width: i64,
    /// Height and width of the kernel, odd.
    pub kernel: i64,
    /// Stride in both directions.
    pub stride: i64,
    /// Groups of channels; each sees its own inputs.
    pub groups: i64,
}

/// Mean, 1x1 convolution, ReLU, 1x1 convolution, sigmoid; the result scales the channels. Both convolutions have biases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqueezeExcite {
    /// Its name.
    pub name: String,
    /// Channels that enter and leave.
    pub width: i64,
    /// Channels between the convolutions.
    pub squeeze_width: i64,
}

/// A way around a block's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// None: the path's result leaves the block.
    None,
    /// The block's input.
    Identity,
    /// A 1x1 convolution with BatchNorm, where the width or the resolution changes.
    Projection(ConvNorm),
}

impl Block {
    pub(crate) fn stem(network: &Network) -> Self {
        let conv = |kernel, stride| {
            Part::Conv(ConvNorm {
                name: "stem.conv".into(),
                norm: "stem.bn".into(),
                relu: Some("stem.af".into()),
                in_width: network.in_channels,
                out_width: network.stem_width,
                kernel,
                stride,
                groups: 1,
            })
        };
        let path = match network.stem {
            Stem::Simple => vec![conv(3, 2)],
            Stem::Resnet => vec![conv(7, 2), Part::MaxPool { name: "stem.pool".into() }],
            Stem::Cifar => vec![conv(3, 1)],
            Stem::Flatten => vec![Part::Flatten { name: "stem.flatten".into() }],
        };
        Self { name: "stem".into(), path, shortcut: Shortcut::None }
    }

    /// A block of `stage` that `in_width` channels enter.
    pub(crate) fn of_body(kind: BlockKind, stage: &Stage, name: String, in_width: i64, stride: i64) -> Self {
        let (inner, width) = (stage.bottleneck_width(), stage.width);
        match kind {
            BlockKind::Resnext => {
                let a = conv(format!("{name}.f.a"), in_width, inner, 1, 1);
                let b = ConvNorm {
                    groups: stage.groups(),
                    ..conv(format!("{name}.f.b"), inner, inner, 3, stride)
                };
                let se = squeeze_excite(format!("{name}.f.se"), inner, in_width, stage.se_ratio);
                let c = conv(format!("{name}.f.c"), inner, width, 1, 1);
                let path = [Part::Conv(a), Part::Conv(b)].into_iter().chain(se).chain([Part::Conv(c)]);
                Self::residual(name, path.collect(), in_width, width, stride)
            }
            BlockKind::ResnetBasic => {
                let a = conv(format!("{name}.f.a"), in_width, width, 3, stride);
                let b = conv(format!("{name}.f.b"), width, width, 3, 1);
                Self::residual(name, vec![Part::Conv(a), Part::Conv(b)], in_width, width, stride)
            }
            BlockKind::Vanilla => {
                let a = conv(format!("{name}.a"), in_width, width, 3, stride);
                let b = conv(format!("{name}.b"), width, width, 3, 1);
                Self { path: vec![Part::Conv(a), Part::Conv(b)], shortcut: Shortcut::None, name }
            }
            // Of a single pixel, a 1x1 convolution is a fully connected layer.
            BlockKind::Mlp => {
                let a = conv(format!("{name}.a"), in_width, width, 1, 1);
                Self { path: vec![Part::Conv(a)], shortcut: Shortcut::None, name }
            }
        }
    }

    /// `path` with a shortcut; its last ReLU comes after the sum.
    fn residual(name: String, mut path: Vec<Part>, in_width: i64, width: i64, stride: i64) -> Self {
        if let Some(Part::Conv(last)) = path.last_mut() {
            last.relu = None;
        }
        let shortcut = if in_width == width && stride == 1 {
            Shortcut::Identity
        } else {
            Shortcut::Projection(ConvNorm {
                norm: format!("{name}.bn"),
                relu: None,
                ..conv(format!("{name}.proj"), in_width, width, 1, stride)
            })
        };
        Self { name, path, shortcut }
    }

    /// What leaves the block of what enters it.
    pub fn output(&self, input: Map) -> Map {
        self.path.iter().fold(input, |map, part| part.output(map))
    }
}

impl Part {
    /// What leaves the part of what enters it.
    pub fn output(&self, input: Map) -> Map {
        match self {
            Part::Conv(conv) => conv.output(input),
            Part::SqueezeExcite(_) => input,
            Part::MaxPool { .. } => {
                Map { height: strided(input.height, 2), width: strided(input.width, 2), ..input }
            }
            Part::Flatten { .. } => {
                Map { channels: input.channels * input.height * input.width, height: 1, width: 1 }
            }
        }
    }
}

impl ConvNorm {
    /// What leaves the convolution of what enters it.
    pub fn output(&self, input: Map) -> Map {
        Map {
            channels: self.out_width,
            height: strided(input.height, self.stride),
            width: strided(input.width, self.stride),
        }
    }
}

/// An ungrouped convolution with a ReLU, named as pycls names them.
fn conv(name: String, in_width: i64, out_width: i64, kernel: i64, stride: i64) -> ConvNorm {
    let (norm, relu) = (format!("{name}_bn"), Some(format!("{name}_af")));
    ConvNorm { name, norm, relu, in_width, out_width, kernel, stride, groups: 1 }
}

fn squeeze_excite(name: String, width: i64, block_in_width: i64, ratio: f64) -> Option<Part> {
    let squeeze_width = squeeze_width(block_in_width, ratio);
    (ratio > 0.0).then_some(Part::SqueezeExcite(SqueezeExcite { name, width, squeeze_width }))
}

/// Of the channels that enter the block, rounded half to even, as pycls, torchvision and timm do.
pub(crate) fn squeeze_width(block_in_width: i64, ratio: f64) -> i64 {
    (block_in_width as f64 * ratio).round_ties_even() as i64
}

/// Pixels that a window of odd size with "same" padding leaves of `pixels`.
fn strided(pixels: i64, stride: i64) -> i64 {
    (pixels - 1) / stride + 1
}
