//! The frozen part of the network: the stem and the first stages, whose parameters and statistics stay as they were loaded.

use regatta_anynet::{Layout, Network, Parameter, Statistic};
use regatta_comm::FlatBuffer;
use regatta_settings::Recipe;
use tch::{Device, Kind, Tensor};

/// The tensors of the frozen blocks, which come before all others in forward order. They are in no bucket, and have neither a
/// gradient nor optimizer state; their moving average equals them.
#[derive(Debug)]
pub(crate) struct Frozen {
    /// Number of frozen blocks, of which the stem is the first.
    pub(crate) blocks: usize,
    /// Names and shapes, in forward order.
    pub(crate) specs: Vec<Parameter>,
    /// Names and widths of the statistics.
    pub(crate) statistics: Vec<Statistic>,
    /// The parameters, which do not require a gradient.
    pub(crate) parameters: FlatBuffer,
    /// BatchNorm's running means and variances, which the frozen blocks also use in training.
    pub(crate) running: FlatBuffer,
}

impl Frozen {
    /// Creates zeroed tensors for the stages that the recipe freezes; none by default.
    pub(crate) fn new(recipe: &Recipe, network: &Network, options: (Kind, Device)) -> Self {
        let blocks = network.blocks_through(recipe.model.frozen_stages as usize);
        let (mut specs, mut statistics) = (network.parameters(), network.statistics());
        specs.retain(|spec| spec.block < blocks);
        statistics.retain(|statistic| statistic.block < blocks);
        let layout = Layout::new(&specs, recipe.bucket_caps());
        Self {
            blocks,
            parameters: FlatBuffer::zeros(&layout, &specs, recipe.train.memory_format, options),
            running: FlatBuffer::of_vectors(statistics.iter().map(|statistic| statistic.width), options),
            specs,
            statistics,
        }
    }

    /// Returns whether everything is trained.
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks == 0
    }

    /// Returns the trained parameters and statistics: what `network` has after the frozen blocks.
    pub(crate) fn trained(&self, network: &Network) -> (Vec<Parameter>, Vec<Statistic>) {
        (
            network.parameters().split_off(self.specs.len()),
            network.statistics().split_off(self.statistics.len()),
        )
    }

    /// Returns the frozen parameters followed by the views of `trained`: the network's parameters in forward order.
    pub(crate) fn with_parameters(&self, trained: &FlatBuffer) -> Vec<Tensor> {
        joined(&self.parameters, trained)
    }

    /// Returns the frozen statistics followed by the views of `trained`: the network's statistics in forward order.
    pub(crate) fn with_statistics(&self, trained: &FlatBuffer) -> Vec<Tensor> {
        joined(&self.running, trained)
    }
}

fn joined(first: &FlatBuffer, second: &FlatBuffer) -> Vec<Tensor> {
    first.views.iter().chain(&second.views).map(Tensor::shallow_clone).collect()
}
