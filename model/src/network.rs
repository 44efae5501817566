//! The network: a chain of stem, blocks and head whose tensors are views of the caller's buffers.

use std::slice::Iter;

use regatta_anynet::Network;
use tch::Tensor;

use crate::layers::{Block, Head, Observer};

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
    /// Stem and body.
    blocks: Vec<Block>,
    head: Head,
}

impl Model {
    /// Builds `network` over views: one for each of [`Network::parameters`], and for each of [`Network::statistics`] one
    /// that training batches write (`batch`) and one that evaluation reads (`running`).
    pub fn new(network: &Network, parameters: &[Tensor], batch: &[Tensor], running: &[Tensor]) -> Self {
        let mut views = Views { parameters: parameters.iter(), batch: batch.iter(), running: running.iter() };
        let model = Self {
            blocks: network
                .blocks()
                .iter()
                .map(|block| Block::build(block, network.conv_bias, &mut views))
                .collect(),
            head: Head::build(network.dropout, &mut views),
        };
        assert_eq!(views.parameters.len() + views.batch.len() + views.running.len(), 0, "every view is used");
        model
    }

    /// Logits `[n, classes]` of `images_nchw`, which have the parameters' element type (or autocast's) and device. Dropout
    /// draws from libtorch's generator of that device.
    pub fn forward(&self, images_nchw: &Tensor, mode: Mode) -> Tensor {
        self.forward_observed(images_nchw, mode, &mut |_, _| ())
    }

    /// The same, showing `observe` every layer's name and output as it is made.
    pub fn forward_observed(&self, images_nchw: &Tensor, mode: Mode, observe: Observer) -> Tensor {
        let begin = images_nchw.shallow_clone();
        let features =
            self.blocks.iter().fold(begin, |features, block| block.forward(&features, mode, observe));
        self.head.forward(&features, mode, observe)
    }
}
