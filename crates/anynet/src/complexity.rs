//! Complexity of a network: parameters, multiply-adds and activations of every layer, as counted in the RegNet paper.
//!
//! For the paper's networks the counts equal those of pycls. They would differ for biases, which are counted for each pixel
//! here but once in pycls, and for pooling, which has no activations here; the paper's networks have neither.

use std::fmt;

use serde::Serialize;

use crate::block::{Block, ConvNorm, Part, Shortcut, SqueezeExcite};
use crate::network::{Map, Network};
use crate::validation::NetworkError;

/// A network's layers in order, and their total complexity.
///
/// Shapes include the batch; `flops` and `activations` are those of one image, as in publications. Sums saturate at
/// `u64::MAX`.
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

/// One layer, with its output and its complexity for one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerRow {
    /// Name as in pycls: `stem.conv`, `s1.b1.f.a_bn`, `head.fc`.
    pub name: String,
    /// Kind of layer.
    pub kind: LayerKind,
    /// Shape of the output: NCHW, or `[batch, channels]` after the mean.
    pub output_shape: Vec<i64>,
    /// Trainable parameters; two per channel for BatchNorm.
    pub params: u64,
    /// Multiply-adds, biases included; zero except for convolutions and the classifier.
    pub flops: u64,
    /// Output elements; zero except for convolutions and the classifier.
    pub activations: u64,
}

/// Kind of layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerKind {
    /// Convolution, "same" padding.
    Conv,
    /// Batch normalisation with scale and shift.
    BatchNorm,
    /// Rectified linear unit.
    Relu,
    /// Logistic function.
    Sigmoid,
    /// Scaling of channels by squeeze-and-excitation.
    Scale,
    /// Sum of a block's two branches.
    Add,
    /// Maximum over 3x3 pixels, stride 2.
    MaxPool,
    /// Mean over all pixels.
    MeanPool,
    /// Flattening: all values of an image become channels.
    Flatten,
    /// Dropout of features in training.
    Dropout,
    /// Linear classifier with bias.
    Linear,
}

/// Output of the stem, a stage or the head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockShape {
    /// `stem`, `s1`, `s2`, ..., `head`.
    pub name: String,
    /// Shape of the output: NCHW, or `[batch, classes]` for the head.
    pub output_shape: Vec<i64>,
}

impl Network {
    /// Returns every layer for a batch of `batch` images of `height` x `width` pixels, with totals.
    ///
    /// # Errors
    /// Those of [`Network::validate`], an input without images or pixels, or one that does not fit a flattening stem.
    pub fn summary(&self, batch: i64, height: i64, width: i64) -> Result<Summary, NetworkError> {
        self.validate_with_input(batch, height, width)?;
        let mut layers = Layers { batch, conv_bias: self.conv_bias, rows: Vec::new() };
        let image = Map { channels: self.in_channels, height, width };
        let last = self.blocks().iter().fold(image, |map, block| layers.block(block, map));
        layers.head(last.channels, self);

        let total = |cost: fn(&LayerRow) -> u64| layers.rows.iter().map(cost).fold(0, u64::saturating_add);
        Ok(Summary {
            input_shape: vec![batch, self.in_channels, height, width],
            params: total(|row| row.params),
            flops: total(|row| row.flops),
            activations: total(|row| row.activations),
            rows: layers.rows,
        })
    }

    /// Returns the output shapes of stem, stages and head for a batch of `batch` images of `height` x `width` pixels.
    ///
    /// # Errors
    /// Those of [`Network::summary`].
    pub fn block_shapes(&self, batch: i64, height: i64, width: i64) -> Result<Vec<BlockShape>, NetworkError> {
        self.validate_with_input(batch, height, width)?;
        let mut map = Map { channels: self.in_channels, height, width };
        let mut shapes: Vec<BlockShape> = Vec::new();
        for block in self.blocks() {
            map = block.output(map);
            let name = block.name.split('.').next().unwrap_or_default().to_owned();
            let output_shape = vec![batch, map.channels, map.height, map.width];
            shapes.pop_if(|last| last.name == name);
            shapes.push(BlockShape { name, output_shape });
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
            LayerKind::Sigmoid => "sigmoid",
            LayerKind::Scale => "scale",
            LayerKind::Add => "add",
            LayerKind::MaxPool => "max_pool",
            LayerKind::MeanPool => "mean_pool",
            LayerKind::Flatten => "flatten",
            LayerKind::Dropout => "dropout",
            LayerKind::Linear => "linear",
        })
    }
}

/// Complexity of a layer; zero for most kinds.
#[derive(Clone, Copy, Default)]
struct Cost {
    params: u64,
    flops: u64,
    activations: u64,
}

/// Collects the rows of a summary.
struct Layers {
    batch: i64,
    conv_bias: bool,
    rows: Vec<LayerRow>,
}

impl Layers {
    fn block(&mut self, block: &Block, input: Map) -> Map {
        let output = block.path.iter().fold(input, |map, part| self.part(part, map));
        match &block.shortcut {
            Shortcut::None => return output,
            Shortcut::Identity => (),
            Shortcut::Projection(projection) => _ = self.conv_norm(projection, input),
        }
        self.elementwise(&format!("{}.add", block.name), LayerKind::Add, output);
        self.elementwise(&format!("{}.af", block.name), LayerKind::Relu, output);
        output
    }

    fn part(&mut self, part: &Part, input: Map) -> Map {
        let output = part.output(input);
        match part {
            Part::Conv(conv) => return self.conv_norm(conv, input),
            Part::SqueezeExcite(se) => self.squeeze_excite(se, input),
            Part::MaxPool { name } => self.elementwise(name, LayerKind::MaxPool, output),
            Part::Flatten { name } => self.elementwise(name, LayerKind::Flatten, output),
        }
        output
    }

    fn conv_norm(&mut self, unit: &ConvNorm, input: Map) -> Map {
        let output = unit.output(input);
        let inputs = unit.kernel * unit.kernel * unit.in_width / unit.groups;
        self.conv(&unit.name, inputs, self.conv_bias, output);
        let norm = Cost { params: 2 * output.channels as u64, ..Cost::default() };
        self.push(&unit.norm, LayerKind::BatchNorm, self.shape(output), norm);
        if let Some(relu) = &unit.relu {
            self.elementwise(relu, LayerKind::Relu, output);
        }
        output
    }

    fn squeeze_excite(&mut self, se: &SqueezeExcite, input: Map) {
        let name = |layer: &str| format!("{}.{layer}", se.name);
        let [squeeze, excite] = se.convolutions();
        let pixel = |channels| Map { channels, height: 1, width: 1 };
        self.elementwise(&name("avg_pool"), LayerKind::MeanPool, pixel(se.width));
        self.conv(&squeeze, se.width, true, pixel(se.squeeze_width));
        self.elementwise(&name("f_ex.1"), LayerKind::Relu, pixel(se.squeeze_width));
        self.conv(&excite, se.squeeze_width, true, pixel(se.width));
        self.elementwise(&name("f_ex.3"), LayerKind::Sigmoid, pixel(se.width));
        self.elementwise(&name("scale"), LayerKind::Scale, input);
    }

    fn head(&mut self, channels: i64, network: &Network) {
        let (batch, classes) = (self.batch, network.classes);
        self.push("head.avg_pool", LayerKind::MeanPool, vec![batch, channels], Cost::default());
        if network.dropout > 0.0 {
            self.push("head.dropout", LayerKind::Dropout, vec![batch, channels], Cost::default());
        }
        let params = ((channels + 1) * classes) as u64;
        let cost = Cost { params, flops: params, activations: classes as u64 };
        self.push("head.fc", LayerKind::Linear, vec![batch, classes], cost);
    }

    /// Adds a convolution that sums over `inputs` values for each element of `output`.
    fn conv(&mut self, name: &str, inputs: i64, bias: bool, output: Map) {
        let params = ((inputs + i64::from(bias)) * output.channels) as u64;
        let pixels = (output.height * output.width) as u64;
        let (flops, activations) = (params.saturating_mul(pixels), output.channels as u64 * pixels);
        self.push(name, LayerKind::Conv, self.shape(output), Cost { params, flops, activations });
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
