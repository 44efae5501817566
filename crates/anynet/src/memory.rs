//! Memory for training a network: exact for weights, an estimate for activations.

use serde::Serialize;

use crate::complexity::{LayerKind, LayerRow, Summary};

/// Bytes of a value of prepared images, which are fp32 even under autocast.
const IMAGE_BYTES: u64 = 4;
/// Number of feature maps of the largest size that backward needs in addition to those kept by forward: a gradient and the
/// one it is computed from.
const MAPS_OF_BACKWARD: u64 = 2;
/// Bytes of the index of a maximum, which max-pooling keeps for its backward pass.
const INDEX_BYTES: u64 = 8;

/// Element sizes of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elements {
    /// Bytes of an element of weights, gradients and optimizer states.
    pub weight_bytes: u64,
    /// Bytes of an element of an activation; below `weight_bytes` under autocast.
    pub activation_bytes: u64,
    /// Number of optimizer states per weight: 1 for SGD (its momentum), 2 for AdamW.
    pub optimizer_states: u64,
}

/// Bytes by purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The parameters.
    pub weights: u64,
    /// Their gradients.
    pub gradients: u64,
    /// The optimizer's states.
    pub optimizer: u64,
    /// Estimate of the activations of a batch that forward keeps for backward, including the images.
    pub forward: u64,
    /// Estimate of the additional memory at the peak of backward.
    pub backward: u64,
}

impl Summary {
    /// Returns the memory for training with the summary's batch.
    pub fn memory(&self, elements: Elements) -> Memory {
        let Elements { weight_bytes, activation_bytes, optimizer_states } = elements;
        let weights = self.params.saturating_mul(weight_bytes);
        let images = self.input_shape[0] as u64;
        let image: u64 = self.input_shape[1..].iter().product::<i64>() as u64;
        let kept = self.rows.iter().map(|row| kept_bytes(row, activation_bytes)).fold(0, u64::saturating_add);
        let convolutions = self.rows.iter().filter(|row| row.kind == LayerKind::Conv);
        let largest = convolutions.map(LayerRow::elements_of_image).max().unwrap_or(0);
        // Autocast keeps a 16-bit copy of every weight until the end of backward.
        let short = activation_bytes < weight_bytes;
        let cast = if short { self.params.saturating_mul(activation_bytes) } else { 0 };
        let of_image = (image * IMAGE_BYTES.max(activation_bytes)).saturating_add(kept);
        Memory {
            weights,
            gradients: weights,
            optimizer: weights.saturating_mul(optimizer_states),
            forward: images.saturating_mul(of_image).saturating_add(cast),
            backward: (images * MAPS_OF_BACKWARD).saturating_mul(largest.saturating_mul(activation_bytes)),
        }
    }

    /// Returns the number of elements of one copy of all BatchNorm means and variances.
    pub fn statistics_elements(&self) -> u64 {
        let norms = self.rows.iter().filter(|row| row.kind == LayerKind::BatchNorm);
        norms.map(|row| 2 * row.output_shape[1] as u64).sum()
    }
}

impl LayerRow {
    /// Returns the number of elements of the layer's output for one image.
    pub fn elements_of_image(&self) -> u64 {
        self.output_shape[1..].iter().product::<i64>() as u64
    }
}

/// Returns the bytes that a layer keeps for backward, for one image. A convolution's output is kept for BatchNorm's backward.
/// The output of ReLU, computed in place of BatchNorm's, is kept for its own backward and for that of the next convolution;
/// that of a projection is added to the block's and dropped.
fn kept_bytes(row: &LayerRow, activation_bytes: u64) -> u64 {
    let of_element = match row.kind {
        LayerKind::Conv | LayerKind::Relu | LayerKind::Sigmoid | LayerKind::Scale => activation_bytes,
        LayerKind::MaxPool => activation_bytes + INDEX_BYTES,
        LayerKind::BatchNorm
        | LayerKind::Add
        | LayerKind::MeanPool
        | LayerKind::Flatten
        | LayerKind::Dropout
        | LayerKind::Linear => 0,
    };
    row.elements_of_image() * of_element
}
