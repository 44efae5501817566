//! The layers: convolution with BatchNorm, the residual bottleneck block, the classifier.

use tch::Tensor;

use crate::network::{Mode, Views};
use crate::parameters::{self, ConvNorm};

/// Added to variances, as in PyTorch and pycls.
const EPS: f64 = 1e-5;

/// Sees the output of every layer with its name.
pub(crate) type Observer<'a> = &'a mut dyn FnMut(&str, &Tensor);

/// A convolution and the BatchNorm behind it.
#[derive(Debug)]
pub(crate) struct Unit {
    description: ConvNorm,
    weight: Tensor,
    bias: Option<Tensor>,
    norm_weight: Tensor,
    norm_bias: Tensor,
    /// Mean and variance of the last training batch.
    batch: [Tensor; 2],
    /// Mean and variance that evaluation uses.
    running: [Tensor; 2],
}

impl Unit {
    pub(crate) fn build(description: ConvNorm, conv_bias: bool, views: &mut Views) -> Self {
        Self {
            weight: views.parameter(),
            bias: conv_bias.then(|| views.parameter()),
            norm_weight: views.parameter(),
            norm_bias: views.parameter(),
            batch: [views.batch_statistic(), views.batch_statistic()],
            running: [views.running_statistic(), views.running_statistic()],
            description,
        }
    }

    pub(crate) fn forward(&self, input: &Tensor, mode: Mode, observe: Observer) -> Tensor {
        let ConvNorm { kernel, stride, groups, .. } = self.description;
        let padding = kernel / 2;
        let output = input.conv2d(
            &self.weight,
            self.bias.as_ref(),
            [stride, stride],
            [padding, padding],
            [1, 1],
            groups,
        );
        observe(&self.description.conv, &output);
        let output = self.normalize(&output, mode);
        observe(&self.description.norm, &output);
        output
    }

    /// In training the batch's own statistics normalise and, with momentum 1, replace those in `batch`: the trainer
    /// moves the running ones itself, once a step and over all micro-batches.
    fn normalize(&self, input: &Tensor, mode: Mode) -> Tensor {
        let training = mode == Mode::Training;
        let [mean, var] = if training { &self.batch } else { &self.running };
        let (weight, bias) = (Some(&self.norm_weight), Some(&self.norm_bias));
        input.batch_norm(weight, bias, Some(mean), Some(var), training, 1.0, EPS, true)
    }
}

/// The residual bottleneck block of ResNeXt and RegNetX: 1x1, 3x3 grouped, 1x1, ReLU after the sum.
#[derive(Debug)]
pub(crate) struct Residual {
    name: String,
    path: [Unit; 3],
    projection: Option<Unit>,
}

impl Residual {
    pub(crate) fn build(block: &regatta_anynet::Block, conv_bias: bool, views: &mut Views) -> Self {
        let (path, projection) = parameters::residual(block);
        Self {
            name: block.name.clone(),
            path: path.map(|unit| Unit::build(unit, conv_bias, views)),
            projection: projection.map(|unit| Unit::build(unit, conv_bias, views)),
        }
    }

    pub(crate) fn forward(&self, input: &Tensor, mode: Mode, observe: Observer) -> Tensor {
        let [a, b, c] = &self.path;
        let inner = a.forward(input, mode, observe).relu_();
        let inner = b.forward(&inner, mode, observe).relu_();
        // BatchNorm's backward needs its input, not its output: sum and ReLU may overwrite it.
        let mut sum = c.forward(&inner, mode, observe);
        let output = match &self.projection {
            Some(projection) => sum.g_add_(&projection.forward(input, mode, observe)),
            None => sum.g_add_(input),
        }
        .relu_();
        observe(&self.name, &output);
        output
    }
}

/// Spatial mean and classifier.
#[derive(Debug)]
pub(crate) struct Head {
    weight: Tensor,
    bias: Tensor,
}

impl Head {
    pub(crate) fn build(views: &mut Views) -> Self {
        Self { weight: views.parameter(), bias: views.parameter() }
    }

    /// A mean instead of adaptive pooling, whose backward is not deterministic on CUDA.
    pub(crate) fn forward(&self, input: &Tensor, observe: Observer) -> Tensor {
        let features = input.mean_dim([2i64, 3].as_slice(), false, None);
        let logits = features.linear(&self.weight, Some(&self.bias));
        observe("head.fc", &logits);
        logits
    }
}
