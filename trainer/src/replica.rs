//! This rank's copy of the network: parameters, gradients and BatchNorm statistics in flat buffers.

use anyhow::Result;
use regatta_anynet::{Layout, Network, Parameter, Statistic};
use regatta_comm::FlatBuffer;
use regatta_model::{Mode, Model, initialize};
use regatta_settings::{MemoryFormat, Recipe};
use regatta_torch_ext::{AutocastKind, autocast, set_grad, to_channels_last};
use tch::{Device, Kind, Tensor};

use crate::device::{autocast_kind, kind};
use crate::frozen::Frozen;

/// Fraction of the running statistics that a step replaces, as in PyTorch and pycls.
const NORM_MOMENTUM: f64 = 0.1;

/// The network on one rank.
#[derive(Debug)]
pub(crate) struct Replica {
    /// Names and shapes of the trained parameters, in forward order.
    pub(crate) specs: Vec<Parameter>,
    /// Names and widths of the running statistics that training moves.
    pub(crate) statistics: Vec<Statistic>,
    /// The stages that keep the weights and statistics they were loaded with.
    pub(crate) frozen: Frozen,
    /// Positions of the trained parameters in the flat buffers.
    pub(crate) layout: Layout,
    /// The trained parameters.
    pub(crate) parameters: FlatBuffer,
    /// The `.grad` of every trained parameter.
    pub(crate) gradients: FlatBuffer,
    /// BatchNorm's running means and variances, equal on all ranks at all times.
    pub(crate) running: FlatBuffer,
    /// The statistics of the last micro-batch.
    batch: FlatBuffer,
    /// Their sum over this step's micro-batches, weighted by images; reduced over the ranks in each step.
    pub(crate) batch_sum: Tensor,
    /// The layers over these buffers.
    pub(crate) model: Model,
    network: Network,
    /// Element type of the forward pass, if it differs from the parameters'.
    pub(crate) autocast: Option<AutocastKind>,
    device: Device,
}

impl Replica {
    /// Builds and initialises the recipe's network on `device`.
    ///
    /// # Errors
    /// Gradients that cannot be attached to the parameters.
    pub(crate) fn new(recipe: &Recipe, device: Device) -> Result<Self> {
        let network = recipe.network();
        let options = (kind(recipe.train.precision), device);
        let frozen = Frozen::new(recipe, &network, options);
        let (specs, statistics) = frozen.trained(&network);

        let layout = Layout::new(&specs, recipe.bucket_caps());
        let parameters = FlatBuffer::zeros(&layout, &specs, recipe.train.memory_format, options);
        let mut all = frozen.with_parameters(&parameters);
        initialize(&network.parameters(), &mut all, recipe.model.init, recipe.train.seed as i64);
        let gradients = parameters.zeros_like();
        for (parameter, gradient) in parameters.views.iter().zip(&gradients.views) {
            set_grad(&parameter.set_requires_grad(true), gradient)?;
        }

        let running = FlatBuffer::of_vectors(statistics.iter().map(|s| s.width), options);
        for (statistic, mut view) in network.statistics().iter().zip(frozen.with_statistics(&running)) {
            _ = view.fill_(statistic.initial_value());
        }
        let batch = running.zeros_like();
        let model = model(&network, &frozen, &parameters, &batch, &running);
        Ok(Self {
            batch_sum: batch.flat.zeros_like(),
            autocast: autocast_kind(recipe.train.precision),
            specs,
            statistics,
            frozen,
            layout,
            parameters,
            gradients,
            running,
            batch,
            model,
            network,
            device,
        })
    }

    /// Returns the same network with other parameters and running statistics in place of the trained ones, for evaluation. A
    /// forward pass in training mode overwrites this replica's statistics of the last micro-batch.
    pub(crate) fn model_over(&self, parameters: &FlatBuffer, running: &FlatBuffer) -> Model {
        model(&self.network, &self.frozen, parameters, &self.batch, running)
    }

    /// Returns every tensor of a weights file with its name, in the order of [`Network::tensors`]: the frozen ones, and the
    /// views of `parameters` and of `running` for those that are trained. Writing to them changes the buffers.
    pub(crate) fn tensors(&self, parameters: &FlatBuffer, running: &FlatBuffer) -> Vec<(String, Tensor)> {
        let specs = self.frozen.specs.iter().chain(&self.specs).map(|spec| &spec.name);
        let statistics =
            self.frozen.statistics.iter().chain(&self.statistics).map(|statistic| &statistic.name);
        let parameters = specs.zip(self.frozen.with_parameters(parameters));
        let statistics = statistics.zip(self.frozen.with_statistics(running));
        parameters.chain(statistics).map(|(name, tensor)| (name.clone(), tensor)).collect()
    }

    /// Clears the sums of a step: gradients and statistics.
    pub(crate) fn zero(&mut self) {
        _ = self.gradients.flat.zero_();
        _ = self.batch_sum.zero_();
    }

    /// Seeds the dropout of the next forward pass, if the network has dropout.
    pub(crate) fn seed_dropout(&self, seed: u64) {
        if self.network.dropout > 0.0 {
            tch::manual_seed(seed as i64);
        }
    }

    /// Computes the logits `[n, classes]` of `images_nchw`, in fp32 or fp64.
    ///
    /// # Errors
    /// Autocast that cannot be set.
    pub(crate) fn logits(&self, model: &Model, images_nchw: &Tensor, mode: Mode) -> Result<Tensor> {
        let logits = autocast(self.device, self.autocast, || model.forward(images_nchw, mode))?;
        Ok(logits.to_kind(self.parameters.flat.kind()))
    }

    /// Adds one micro-batch's statistics, weighted by its images, to the step's sum.
    pub(crate) fn add_batch_statistics(&mut self, images: usize) {
        _ = self.batch_sum.g_add_(&(&self.batch.flat * images as f64));
        _ = self.batch.flat.zero_();
    }

    /// Computes the BatchNorm statistics of a batch under `model`, one made by [`model_over`](Self::model_over), in a forward
    /// pass in training mode, and copies them to `row`, as long as the running statistics. Nothing of the run changes.
    ///
    /// # Errors
    /// Autocast that cannot be set.
    pub(crate) fn write_batch_statistics(
        &mut self,
        model: &Model,
        images_nchw: &Tensor,
        row: &mut Tensor,
    ) -> Result<()> {
        _ = self.logits(model, images_nchw, Mode::Training)?;
        row.copy_(&self.batch.flat);
        _ = self.batch.flat.zero_();
        Ok(())
    }

    /// Updates the running statistics with the mean over the step's `images`, from the sum that was reduced before. They stay
    /// unchanged if `found_inf` is 1.
    pub(crate) fn move_running_statistics(&mut self, images: usize, found_inf: &Tensor) {
        let mean = &self.batch_sum / images as f64;
        let moved = self.running.flat.lerp(&mean, NORM_MOMENTUM);
        let kept = self.running.flat.where_self(&found_inf.to_kind(Kind::Bool), &moved);
        self.running.flat.copy_(&kept);
    }

    /// Returns the network that this is a copy of.
    #[cfg(test)]
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the device of the buffers.
    pub(crate) fn device(&self) -> Device {
        self.device
    }
}

/// Builds the network over the frozen tensors and these buffers of the trained ones.
fn model(
    network: &Network,
    frozen: &Frozen,
    parameters: &FlatBuffer,
    batch: &FlatBuffer,
    running: &FlatBuffer,
) -> Model {
    let parameters = frozen.with_parameters(parameters);
    // Frozen blocks only read statistics, so that theirs may stand for those of a batch.
    let [batch, running] = [batch, running].map(|trained| frozen.with_statistics(trained));
    Model::new(network, &parameters, &batch, &running).freeze(frozen.blocks)
}

/// Returns `images_nchw` densely in `format`; the same tensor if it already is.
pub(crate) fn in_format(images_nchw: &Tensor, format: MemoryFormat) -> Tensor {
    match format {
        MemoryFormat::ChannelsLast => to_channels_last(images_nchw),
        MemoryFormat::Contiguous => images_nchw.contiguous(),
        MemoryFormat::Auto => unreachable!("the format is chosen before there are tensors"),
    }
}
