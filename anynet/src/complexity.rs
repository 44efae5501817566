//! What a network costs: parameters, multiply-adds and activations of every layer, counted as pycls counts them.

use std::fmt;

use serde::Serialize;

use crate::network::{Block, Network, STEM_STRIDE, strided};
use crate::validation::NetworkError;

/// A network's layers in order and what they cost together.
///
/// Shapes have the batch; `flops` and `activations` are of one image, the published figures' convention. A sum
/// beyond 64 bits stays at `u64::MAX`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Shape of the input, NCHW.
    pub input_shape: Vec<i64>,
    /// The layers in order of execution.
    pub rows: Vec<LayerRow>,
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-adds of convolutions and classifier, biases included.
    pub flops: u64,
    /// Outputs of all convolutions and of the classifier.
    pub activations: u64,
}

/// One layer: what it is, what leaves it and what it costs for one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerRow {
    /// Name as in pycls: `stem.conv`, `s1.b1.f.a_bn`, `head.fc`.
    pub name: String,
    /// What the layer does.
    pub kind: LayerKind,
    /// Shape of the output: NCHW, or `[batch, channels]` after the mean.
    pub output_shape: Vec<i64>,
    /// Trainable parameters; two per channel for BatchNorm.
    pub params: u64,
    /// Multiply-adds; zero but for convolutions and the classifier.
    pub flops: u64,
    /// Output elements; zero but for convolutions and the classifier.
    pub activations: u64,
}

/// What a layer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerKind {
    /// Convolution, "same" padding.
    Conv,
    /// Batch normalisation with scale and shift.
    BatchNorm,
    /// Rectifier.
    Relu,
    /// Sum of a block's two branches.
    Add,
    /// Mean over all pixels.
    MeanPool,
    /// Linear classifier with bias.
    Linear,
}

/// What leaves the stem, a stage or the head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockShape {
    /// `stem`, `s1`, `s2`, ..., `head`.
    pub name: String,
    /// Shape of the output: NCHW, or `[batch, classes]` for the head.
    pub output_shape: Vec<i64>,
}

impl Network {
    /// Every layer for a batch of `batch` images of `height` x `width` pixels, with totals.
    ///
    /// # Errors
    /// What [`Network::validate`] refuses, or an input without images or pixels.
    pub fn summary(&self, batch: i64, height: i64, width: i64) -> Result<Summary, NetworkError> {
        self.validate_with_input(batch, height, width)?;
        let mut layers = Layers { batch, conv_bias: self.conv_bias, rows: Vec::new() };
        let image = Map { channels: self.in_channels, height, width };

        let stem = Conv { out_channels: self.stem_width, kernel: 3, stride: STEM_STRIDE, groups: 1 };
        let mut map = layers.conv("stem.conv", image, stem);
        layers.batch_norm("stem.bn", map);
        layers.elementwise("stem.af", LayerKind::Relu, map);
        for block in self.blocks() {
            map = layers.block(&block, map);
        }
        layers.head(map.channels, self.classes);

        let total = |cost: fn(&LayerRow) -> u64| layers.rows.iter().map(cost).fold(0, u64::saturating_add);
        Ok(Summary {
            input_shape: vec![batch, self.in_channels, height, width],
            params: total(|row| row.params),
            flops: total(|row| row.flops),
            activations: total(|row| row.activations),
            rows: layers.rows,
        })
    }

    /// What leaves the stem, each stage and the head for a batch of `batch` images of `height` x `width` pixels.
    ///
    /// # Errors
    /// As [`Network::summary`].
    pub fn block_shapes(&self, batch: i64, height: i64, width: i64) -> Result<Vec<BlockShape>, NetworkError> {
        self.validate_with_input(batch, height, width)?;
        let stem = ("stem".to_owned(), self.stem_width, STEM_STRIDE);
        let stages = self.stages.iter().zip(1..);
        let body = stages.map(|(stage, number)| (format!("s{number}"), stage.width, stage.stride));

        let (mut height, mut width) = (height, width);
        let mut shapes = Vec::new();
        for (name, channels, stride) in std::iter::once(stem).chain(body) {
            (height, width) = (strided(height, stride), strided(width, stride));
            shapes.push(BlockShape { name, output_shape: vec![batch, channels, height, width] });
        }
        shapes.push(BlockShape { name: "head".to_owned(), output_shape: vec![batch, self.classes] });
        Ok(shapes)
    }
}

impl fmt::Display for LayerKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            LayerKind::Conv => "conv",
            LayerKind::BatchNorm => "batch_norm",
            LayerKind::Relu => "relu",
            LayerKind::Add => "add",
            LayerKind::MeanPool => "mean_pool",
            LayerKind::Linear => "linear",
        })
    }
}

/// A feature map of one image.
#[derive(Clone, Copy)]
struct Map {
    channels: i64,
    height: i64,
    width: i64,
}

/// A convolution, but for what enters it.
#[derive(Clone, Copy)]
struct Conv {
    out_channels: i64,
    kernel: i64,
    stride: i64,
    groups: i64,
}

/// What a layer costs; most cost nothing that is counted.
#[derive(Clone, Copy, Default)]
struct Cost {
    params: u64,
    flops: u64,
    activations: u64,
}

/// The rows so far.
struct Layers {
    batch: i64,
    conv_bias: bool,
    rows: Vec<LayerRow>,
}

impl Layers {
    fn block(&mut self, block: &Block, input: Map) -> Map {
        let name = |layer: &str| format!("{}.{layer}", block.name);
        let pointwise = |out_channels, stride| Conv { out_channels, kernel: 1, stride, groups: 1 };
        let grouped = Conv {
            out_channels: block.bottleneck_width,
            kernel: 3,
            stride: block.stride,
            groups: block.groups,
        };

        let a = self.conv(&name("f.a"), input, pointwise(block.bottleneck_width, 1));
        self.batch_norm(&name("f.a_bn"), a);
        self.elementwise(&name("f.a_af"), LayerKind::Relu, a);
        let b = self.conv(&name("f.b"), a, grouped);
        self.batch_norm(&name("f.b_bn"), b);
        self.elementwise(&name("f.b_af"), LayerKind::Relu, b);
        let c = self.conv(&name("f.c"), b, pointwise(block.width, 1));
        self.batch_norm(&name("f.c_bn"), c);
        if block.projection {
            let shortcut = self.conv(&name("proj"), input, pointwise(block.width, block.stride));
            self.batch_norm(&name("bn"), shortcut);
        }
        self.elementwise(&name("add"), LayerKind::Add, c);
        self.elementwise(&name("af"), LayerKind::Relu, c);
        c
    }

    fn head(&mut self, channels: i64, classes: i64) {
        self.push("head.avg_pool", LayerKind::MeanPool, vec![self.batch, channels], Cost::default());
        let params = ((channels + 1) * classes) as u64;
        let cost = Cost { params, flops: params, activations: classes as u64 };
        self.push("head.fc", LayerKind::Linear, vec![self.batch, classes], cost);
    }

    fn conv(&mut self, name: &str, input: Map, conv: Conv) -> Map {
        let output = Map {
            channels: conv.out_channels,
            height: strided(input.height, conv.stride),
            width: strided(input.width, conv.stride),
        };
        let weights = conv.kernel * conv.kernel * input.channels * conv.out_channels / conv.groups;
        let params = (weights + if self.conv_bias { conv.out_channels } else { 0 }) as u64;
        let pixels = (output.height * output.width) as u64;
        let flops = params.saturating_mul(pixels);
        let activations = output.channels as u64 * pixels;
        self.push(name, LayerKind::Conv, self.shape(output), Cost { params, flops, activations });
        output
    }

    fn batch_norm(&mut self, name: &str, map: Map) {
        let cost = Cost { params: 2 * map.channels as u64, ..Cost::default() };
        self.push(name, LayerKind::BatchNorm, self.shape(map), cost);
    }

    fn elementwise(&mut self, name: &str, kind: LayerKind, map: Map) {
        self.push(name, kind, self.shape(map), Cost::default());
    }

    fn shape(&self, map: Map) -> Vec<i64> {
        vec![self.batch, map.channels, map.height, map.width]
    }

    fn push(&mut self, name: &str, kind: LayerKind, output_shape: Vec<i64>, cost: Cost) {
        let Cost { params, flops, activations } = cost;
        self.rows.push(LayerRow { name: name.to_owned(), kind, output_shape, params, flops, activations });
    }
}
