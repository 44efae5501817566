//! What training a network takes of memory: weights exactly, activations by an estimate.

use serde::Serialize;

use crate::complexity::{LayerKind, LayerRow, Summary};

/// Bytes of prepared images, which are made before anything is shortened.
const IMAGE_BYTES: u64 = 4;
/// Maps of the largest size that backward has beside what forward kept: a gradient and the one it is made from.
const MAPS_OF_BACKWARD: u64 = 2;
/// Bytes of the place of a maximum, which pooling keeps for its backward.
const INDEX_BYTES: u64 = 8;

/// What a run's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elements {
    /// Bytes of a weight, of a gradient and of what the optimizer keeps of them.
    pub weight_bytes: u64,
    /// Bytes of an element of an activation; below `weight_bytes` under autocast.
    pub activation_bytes: u64,
    /// Numbers that the optimizer keeps of each weight: 1 of SGD (its momentum), 2 of AdamW.
    pub optimizer_states: u64,
}

/// Bytes by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The parameters.
    pub weights: u64,
    /// Their gradients.
    pub gradients: u64,
    /// What the optimizer keeps of them.
    pub optimizer: u64,
    /// Estimate of what a batch's forward keeps for its backward, the images included.
    pub forward: u64,
    /// Estimate of what backward has besides at its height.
    pub backward: u64,
}

impl Summary {
    /// What training takes, with activations of the batch that the summary is of.
    pub fn memory(&self, elements: Elements) -> Memory {
        let Elements { weight_bytes, activation_bytes, optimizer_states } = elements;
        let weights = self.params.saturating_mul(weight_bytes);
        let images = self.input_shape[0] as u64;
        let image: u64 = self.input_shape[1..].iter().product::<i64>() as u64;
        let kept = self.rows.iter().map(|row| kept_bytes(row, activation_bytes)).fold(0, u64::saturating_add);
        let convolutions = self.rows.iter().filter(|row| row.kind == LayerKind::Conv);
        let largest = convolutions.map(LayerRow::elements_of_image).max().unwrap_or(0);
        // Autocast keeps a short copy of every weight until backward is through.
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

    /// Elements of one set of BatchNorm's means and variances.
    pub fn statistics_elements(&self) -> u64 {
        let norms = self.rows.iter().filter(|row| row.kind == LayerKind::BatchNorm);
        norms.map(|row| 2 * row.output_shape[1] as u64).sum()
    }
}

impl LayerRow {
    /// Elements that the layer writes for one image.
    pub fn elements_of_image(&self) -> u64 {
        self.output_shape[1..].iter().product::<i64>() as u64
    }
}

/// Of one image. A convolution's output is kept for BatchNorm's backward. What ReLU leaves, in the place of BatchNorm's
/// output, is kept for its own and for the next convolution's; a projection's is added to the block's and dropped.
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
