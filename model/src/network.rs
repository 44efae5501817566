//! The network: a sequence of stem, blocks and head whose tensors are views of the caller's buffers.

use std::slice::Iter;

use regatta_anynet::Network;
use tch::Tensor;

use crate::layers::{Block, Head, Observer};

/// The statistics that BatchNorm uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The statistics of the batch, which are stored as batch statistics. Dropout is active.
    Training,
    /// The running statistics.
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

/// A network that can run.
#[derive(Debug)]
pub struct Model {
    /// Stem and body.
    blocks: Vec<Block>,
    /// Number of blocks, from the stem on, that always run in evaluation mode.
    frozen_blocks: usize,
    head: Head,
}

impl Model {
    /// Builds `network` from views: one for each of [`Network::parameters`], and for each of [`Network::statistics`] one that
    /// training batches write (`batch`) and one that evaluation reads (`running`).
    ///
    /// # Panics
    /// If the number of views is not the number of tensors.
    pub fn new(network: &Network, parameters: &[Tensor], batch: &[Tensor], running: &[Tensor]) -> Self {
        let mut views = Views { parameters: parameters.iter(), batch: batch.iter(), running: running.iter() };
        let model = Self {
            blocks: network
                .blocks()
                .iter()
                .map(|block| Block::build(block, network.conv_bias, &mut views))
                .collect(),
            frozen_blocks: 0,
            head: Head::build(network.dropout, &mut views),
        };
        assert_eq!(views.parameters.len() + views.batch.len() + views.running.len(), 0, "every view is used");
        model
    }

    /// Freezes the first `blocks` blocks, the stem being the first: they run in evaluation mode even when the others train, so
    /// that their statistics stay as they are. Their parameters should not require a gradient.
    pub fn freeze(self, blocks: usize) -> Self {
        Self { frozen_blocks: blocks, ..self }
    }

    /// Computes the logits `[n, classes]` of `images_nchw`, which must have the parameters' device and element type (or that of
    /// autocast). Dropout uses libtorch's generator of that device.
    pub fn forward(&self, images_nchw: &Tensor, mode: Mode) -> Tensor {
        self.forward_observed(images_nchw, mode, &mut |_, _| ())
    }

    /// Computes the logits like [`Model::forward`] and passes the name and output of every layer to `observe`.
    pub fn forward_observed(&self, images_nchw: &Tensor, mode: Mode, observe: Observer) -> Tensor {
        let begin = images_nchw.shallow_clone();
        let features = self.blocks.iter().enumerate().fold(begin, |features, (number, block)| {
            let mode = if number < self.frozen_blocks { Mode::Evaluation } else { mode };
            block.forward(&features, mode, observe)
        });
        self.head.forward(&features, mode, observe)
    }
}
