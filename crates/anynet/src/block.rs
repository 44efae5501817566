//! The layers of a block, as data. Only [`Block::of_body`] depends on the kinds of block.
//!
//! Names are those of pycls, the reference code of the RegNet paper: `s1.b2.f.a` is the first convolution of the second
//! block of the first stage.

use crate::network::{BlockKind, Map, Network, Stage, Stem};

/// The term that BatchNorm adds to variances, as in PyTorch and pycls.
pub const BATCH_NORM_EPS: f64 = 1e-5;

/// A sequence of parts with an optional shortcut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// `stem`, or `s1.b1` for the first block of the first stage.
    pub name: String,
    /// The parts in order of execution.
    pub path: Vec<Part>,
    /// What is added to the path's output, followed by a ReLU.
    pub shortcut: Shortcut,
}

/// One part of a block's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Convolution and BatchNorm, optionally with a ReLU.
    Conv(ConvNorm),
    /// Squeeze-and-excitation: channels scaled by a small network of their means (Hu et al. 2018).
    SqueezeExcite(SqueezeExcite),
    /// 3x3 max-pooling with stride 2.
    MaxPool {
        /// Its name.
        name: String,
    },
    /// Flattening: all values of an image become channels of a single pixel.
    Flatten {
        /// Its name.
        name: String,
    },
}

/// A convolution with "same" padding, followed by BatchNorm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvNorm {
    /// Name of the convolution.
    pub name: String,
    /// Name of the BatchNorm.
    pub norm: String,
    /// Name of the ReLU, if there is one.
    pub relu: Option<String>,
    /// Input channels.
    pub in_width: i64,
    /// Output channels.
    pub out_width: i64,
    /// Height and width of the kernel, odd.
    pub kernel: i64,
    /// Stride in both directions.
    pub stride: i64,
    /// Number of groups of the convolution.
    pub groups: i64,
}

/// Mean, 1x1 convolution, ReLU, 1x1 convolution, sigmoid; the result scales the channels. Both convolutions have biases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqueezeExcite {
    /// Its name.
    pub name: String,
    /// Input and output channels.
    pub width: i64,
    /// Channels between the convolutions.
    pub squeeze_width: i64,
}

/// Shortcut of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// No shortcut: the block's output is the path's output.
    None,
    /// The block's input.
    Identity,
    /// A 1x1 convolution with BatchNorm, used if the width or the resolution changes.
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

    /// Returns a block of `stage` with `in_width` input channels.
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
            // On a single pixel, a 1x1 convolution is a fully connected layer.
            BlockKind::Mlp => {
                let a = conv(format!("{name}.a"), in_width, width, 1, 1);
                Self { path: vec![Part::Conv(a)], shortcut: Shortcut::None, name }
            }
        }
    }

    /// Returns a block of `path` and a shortcut; the last ReLU is applied after the sum.
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

    /// Returns the shape of the block's output.
    pub fn output(&self, input: Map) -> Map {
        self.path.iter().fold(input, |map, part| part.output(map))
    }
}

impl Part {
    /// Returns the shape of the part's output.
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
    /// Returns the shape of the convolution's output.
    pub fn output(&self, input: Map) -> Map {
        Map {
            channels: self.out_width,
            height: strided(input.height, self.stride),
            width: strided(input.width, self.stride),
        }
    }
}

/// Returns an ungrouped convolution with a ReLU, with pycls's names.
fn conv(name: String, in_width: i64, out_width: i64, kernel: i64, stride: i64) -> ConvNorm {
    let (norm, relu) = (format!("{name}_bn"), Some(format!("{name}_af")));
    ConvNorm { name, norm, relu, in_width, out_width, kernel, stride, groups: 1 }
}

fn squeeze_excite(name: String, width: i64, block_in_width: i64, ratio: f64) -> Option<Part> {
    let squeeze_width = squeeze_width(block_in_width, ratio);
    (ratio > 0.0).then_some(Part::SqueezeExcite(SqueezeExcite { name, width, squeeze_width }))
}

/// Returns the squeeze width: `ratio` of the block's input channels, rounded half to even, as in pycls, torchvision and timm.
pub(crate) fn squeeze_width(block_in_width: i64, ratio: f64) -> i64 {
    (block_in_width as f64 * ratio).round_ties_even() as i64
}

/// Returns the output size in pixels of a window of odd size with "same" padding.
fn strided(pixels: i64, stride: i64) -> i64 {
    (pixels - 1) / stride + 1
}
