//! The layers: convolution with BatchNorm, squeeze-and-excitation, residual blocks, and the classifier head.

use regatta_anynet::{self as anynet, BATCH_NORM_EPS, ConvNorm, Part, Shortcut};
use regatta_torch_ext::conv2d;
use tch::Tensor;

use crate::network::{Mode, Views};

/// A callback that receives the name and output of every layer.
pub(crate) type Observer<'a> = &'a mut dyn FnMut(&str, &Tensor);

/// The weight and bias of a convolution.
#[derive(Debug)]
struct Conv {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Conv {
    fn build(has_bias: bool, views: &mut Views) -> Self {
        Self { weight: views.parameter(), bias: has_bias.then(|| views.parameter()) }
    }

    fn pointwise(&self, input: &Tensor) -> Tensor {
        input.conv2d(&self.weight, self.bias.as_ref(), [1, 1], [0, 0], [1, 1], 1)
    }
}

/// A convolution followed by BatchNorm.
#[derive(Debug)]
pub(crate) struct Unit {
    description: ConvNorm,
    conv: Conv,
    norm_weight: Tensor,
    norm_bias: Tensor,
    /// Mean and variance of the last training batch.
    batch: [Tensor; 2],
    /// Running mean and variance, used in evaluation.
    running: [Tensor; 2],
}

impl Unit {
    fn build(description: &ConvNorm, conv_bias: bool, views: &mut Views) -> Self {
        Self {
            conv: Conv::build(conv_bias, views),
            norm_weight: views.parameter(),
            norm_bias: views.parameter(),
            batch: [views.batch_statistic(), views.batch_statistic()],
            running: [views.running_statistic(), views.running_statistic()],
            description: description.clone(),
        }
    }

    fn forward(&self, input: &Tensor, mode: Mode, observe: Observer) -> Tensor {
        let ConvNorm { kernel, stride, groups, .. } = self.description;
        let Conv { weight, bias } = &self.conv;
        let output = conv2d(input, weight, bias.as_ref(), stride, kernel / 2, groups);
        observe(&self.description.name, &output);
        let mut output = self.normalize(&output, mode);
        observe(&self.description.norm, &output);
        // In place: the backward pass of BatchNorm needs its input, not its output.
        if self.description.relu.is_some() { output.relu_() } else { output }
    }

    /// Applies BatchNorm. In training it uses the statistics of the batch, which with momentum 1 also replace those in
    /// `batch`. The trainer updates the running statistics itself, once per step and over all micro-batches.
    fn normalize(&self, input: &Tensor, mode: Mode) -> Tensor {
        let training = mode == Mode::Training;
        let [mean, var] = if training { &self.batch } else { &self.running };
        let (weight, bias) = (Some(&self.norm_weight), Some(&self.norm_bias));
        input.batch_norm(weight, bias, Some(mean), Some(var), training, 1.0, BATCH_NORM_EPS, true)
    }
}

/// Squeeze-and-excitation: scales each channel by a weight computed from the channel means.
#[derive(Debug)]
pub(crate) struct SqueezeExcite {
    /// The names of the scaling and of the two convolutions.
    names: [String; 3],
    squeeze: Conv,
    excite: Conv,
}

impl SqueezeExcite {
    fn build(description: &anynet::SqueezeExcite, views: &mut Views) -> Self {
        let [squeeze, excite] = description.convolutions();
        let names = [format!("{}.scale", description.name), squeeze, excite];
        Self { names, squeeze: Conv::build(true, views), excite: Conv::build(true, views) }
    }

    fn forward(&self, input: &Tensor, observe: Observer) -> Tensor {
        // A mean instead of adaptive pooling, whose backward is not deterministic on CUDA.
        let means = input.mean_dim([2i64, 3].as_slice(), true, None);
        let [own, squeeze, excite] = &self.names;
        let mut squeezed = self.squeeze.pointwise(&means);
        observe(squeeze, &squeezed);
        let excited = self.excite.pointwise(&squeezed.relu_());
        observe(excite, &excited);
        let output = excited.sigmoid() * input;
        observe(own, &output);
        output
    }
}

/// One layer of a block's path.
#[derive(Debug)]
enum Layer {
    Unit(Box<Unit>),
    SqueezeExcite(SqueezeExcite),
    MaxPool,
    Flatten,
}

impl Layer {
    fn build(part: &Part, conv_bias: bool, views: &mut Views) -> Self {
        match part {
            Part::Conv(conv) => Layer::Unit(Box::new(Unit::build(conv, conv_bias, views))),
            Part::SqueezeExcite(se) => Layer::SqueezeExcite(SqueezeExcite::build(se, views)),
            Part::MaxPool { .. } => Layer::MaxPool,
            Part::Flatten { .. } => Layer::Flatten,
        }
    }

    fn forward(&self, input: &Tensor, mode: Mode, observe: Observer) -> Tensor {
        match self {
            Layer::Unit(unit) => unit.forward(input, mode, observe),
            Layer::SqueezeExcite(se) => se.forward(input, observe),
            Layer::MaxPool => input.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false),
            Layer::Flatten => input.reshape([input.size()[0], -1, 1, 1]),
        }
    }
}

/// A sequence of layers and a shortcut around it. The stem is a block too.
#[derive(Debug)]
pub(crate) struct Block {
    name: String,
    path: Vec<Layer>,
    shortcut: BuiltShortcut,
}

/// A [`Shortcut`] with its layers.
#[derive(Debug)]
enum BuiltShortcut {
    None,
    Identity,
    Projection(Box<Unit>),
}

impl Block {
    pub(crate) fn build(block: &anynet::Block, conv_bias: bool, views: &mut Views) -> Self {
        let path = block.path.iter().map(|part| Layer::build(part, conv_bias, views)).collect();
        let shortcut = match &block.shortcut {
            Shortcut::None => BuiltShortcut::None,
            Shortcut::Identity => BuiltShortcut::Identity,
            Shortcut::Projection(conv) => {
                BuiltShortcut::Projection(Box::new(Unit::build(conv, conv_bias, views)))
            }
        };
        Self { name: block.name.clone(), path, shortcut }
    }

    pub(crate) fn forward(&self, input: &Tensor, mode: Mode, observe: Observer) -> Tensor {
        let begin = input.shallow_clone();
        let mut output =
            self.path.iter().fold(begin, |features, layer| layer.forward(&features, mode, observe));
        let output = match &self.shortcut {
            BuiltShortcut::None => return output,
            BuiltShortcut::Identity => output.g_add_(input),
            BuiltShortcut::Projection(projection) => output.g_add_(&projection.forward(input, mode, observe)),
        }
        .relu_();
        observe(&self.name, &output);
        output
    }
}

/// The head: spatial mean, dropout and classifier.
#[derive(Debug)]
pub(crate) struct Head {
    dropout: f64,
    weight: Tensor,
    bias: Tensor,
}

impl Head {
    pub(crate) fn build(dropout: f64, views: &mut Views) -> Self {
        Self { dropout, weight: views.parameter(), bias: views.parameter() }
    }

    pub(crate) fn forward(&self, input: &Tensor, mode: Mode, observe: Observer) -> Tensor {
        // A mean instead of adaptive pooling, for the same reason as in squeeze-and-excitation.
        let mut features = input.mean_dim([2i64, 3].as_slice(), false, None);
        if self.dropout > 0.0 && mode == Mode::Training {
            features = features.dropout(self.dropout, true);
        }
        let logits = features.linear(&self.weight, Some(&self.bias));
        observe("head.fc", &logits);
        logits
    }
}
