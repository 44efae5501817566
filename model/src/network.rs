//! The network: a chain of stem, blocks and head whose tensors are views of the caller's buffers.

use std::slice::Iter;

use regatta_anynet::Network;
use tch::Tensor;

use crate::layers::{Head, Observer, Residual, Unit};
use crate::parameters;

/// Which statistics BatchNorm uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Those of the batch, which it leaves in the batch statistics.
    Training,
    /// The running ones.
    Evaluation,
}

/// Hands out the caller's views in the order in which the layers are built.
pub(crate) struct Views<'a> {
    parameters: Iter<'a, Tensor>,
    batch: Iter<'a, Tensor>,
    running: Iter<'a, Tensor>,
}

impl Views<'_> {
    fn next(views: &mut Iter<Tensor>) -> Tensor {
        views.next().expect("as many views as the network has tensors").shallow_clone()
    }
    pub(crate) fn parameter(&mut self) -> Tensor {
        Self::next(&mut self.parameters)
    }
    pub(crate) fn batch_statistic(&mut self) -> Tensor {
        Self::next(&mut self.batch)
    }
    pub(crate) fn running_statistic(&mut self) -> Tensor {
        Self::next(&mut self.running)
    }
}

/// A network ready to run.
#[derive(Debug)]
pub struct Model {
    stem: Unit,
    blocks: Vec<Residual>,
    head: Head,
}

impl Model {
    /// Builds `network` over views: one for each of [`crate::parameters`], and for each of [`crate::statistics`] one that
    /// training batches write (`batch`) and one that evaluation reads (`running`).
    pub fn new(network: &Network, parameters: &[Tensor], batch: &[Tensor], running: &[Tensor]) -> Self {
        let mut views = Views { parameters: parameters.iter(), batch: batch.iter(), running: running.iter() };
        let model = Self {
            stem: Unit::build(parameters::stem(network), network.conv_bias, &mut views),
            blocks: network
                .blocks()
                .iter()
                .map(|block| Residual::build(block, network.conv_bias, &mut views))
                .collect(),
            head: Head::build(&mut views),
        };
        assert_eq!(views.parameters.len() + views.batch.len() + views.running.len(), 0, "every view is used");
        model
    }

    /// Logits `[n, classes]` of `images_nchw`, which have the parameters' element type (or autocast's) and device.
    pub fn forward(&self, images_nchw: &Tensor, mode: Mode) -> Tensor {
        self.forward_observed(images_nchw, mode, &mut |_, _| ())
    }

    /// The same, showing `observe` every layer's name and output as it is made.
    pub fn forward_observed(&self, images_nchw: &Tensor, mode: Mode, observe: Observer) -> Tensor {
        let mut features = self.stem.forward(images_nchw, mode, observe).relu_();
        for block in &self.blocks {
            features = block.forward(&features, mode, observe);
        }
        self.head.forward(&features, observe)
    }
}
