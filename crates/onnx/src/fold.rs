//! Folds BatchNorm in evaluation mode into the convolution before it.
//!
//! With running mean m and variance v, BatchNorm computes `(x - m) * s + beta` where `s = gamma / sqrt(v + eps)`. If x is the
//! output of a convolution with weight w and bias b, that is a convolution with weight `s * w` and bias `(b - m) * s + beta`. Both
//! are computed in 64 bits and rounded once.

use regatta_anynet::{BATCH_NORM_EPS, ConvNorm};

use crate::Tensors;

/// The weight and bias of a convolution.
pub(crate) struct Folded {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// Returns the convolution that equals `unit`.
///
/// # Panics
/// If a tensor of `unit` is missing.
pub(crate) fn fold(unit: &ConvNorm, tensors: &Tensors) -> Folded {
    let of_norm = |kind: &str| &tensors[&format!("{}.{kind}", unit.norm)].values;
    let (gamma, beta) = (of_norm("weight"), of_norm("bias"));
    let (mean, variance) = (of_norm("running_mean"), of_norm("running_var"));
    let weight = &tensors[&format!("{}.weight", unit.name)].values;
    let bias = tensors.get(&format!("{}.bias", unit.name)).map(|bias| &bias.values);
    let mut folded =
        Folded { weight: Vec::with_capacity(weight.len()), bias: Vec::with_capacity(gamma.len()) };
    for (channel, weight) in weight.chunks_exact(weight.len() / gamma.len()).enumerate() {
        let scale = f64::from(gamma[channel]) / (f64::from(variance[channel]) + BATCH_NORM_EPS).sqrt();
        let bias = bias.map_or(0.0, |bias| f64::from(bias[channel]));
        let shift = (bias - f64::from(mean[channel])) * scale + f64::from(beta[channel]);
        folded.weight.extend(weight.iter().map(|&weight| (f64::from(weight) * scale) as f32));
        folded.bias.push(shift as f32);
    }
    folded
}
