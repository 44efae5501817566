//! One optimizer step: this rank's micro-batches forward and backward, the reduction, the update.

use anyhow::Result;
use regatta_comm::{Communicator, FlatBuffer, Reducer};
use regatta_data::MicroBatch;
use regatta_model::Mode;
use regatta_settings::{Recipe, TrainSettings};
use tch::Tensor;

use crate::batches::Batches;
use crate::debug::Inspector;
use crate::optimizer::Optimizer;
use crate::replica::{Replica, host_value, summed_loss};

/// What all ranks know after a step, from the same reduced numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StepOutcome {
    /// Loss summed over the images of the global batch.
    pub(crate) loss_sum: f64,
    /// Some rank was asked to stop.
    pub(crate) stop: bool,
    /// The gradients were finite and the parameters moved.
    pub(crate) updated: bool,
}

/// Everything that a step changes.
pub(crate) struct Learner<'a> {
    pub(crate) replica: Replica,
    pub(crate) optimizer: Optimizer,
    /// Exponential moving average of the parameters, where the recipe asks for it.
    pub(crate) ema: Option<FlatBuffer>,
    reducer: Reducer,
    train: &'a TrainSettings,
    world: &'a dyn Communicator,
}

impl<'a> Learner<'a> {
    /// Takes a replica that is equal on all ranks.
    pub(crate) fn new(recipe: &'a Recipe, replica: Replica, world: &'a dyn Communicator) -> Result<Self> {
        let Replica { layout, specs, parameters, gradients, .. } = &replica;
        let reducer = Reducer::new(layout, specs, parameters, gradients)?;
        let ema = (recipe.train.ema_decay > 0.0).then(|| {
            let mut ema = parameters.zeros_like();
            tch::no_grad(|| ema.flat.copy_(&parameters.flat));
            ema
        });
        let optimizer = Optimizer::new(&recipe.optim, &replica);
        Ok(Self { replica, optimizer, ema, reducer, train: &recipe.train, world })
    }

    /// One step over a global batch of `images`, of which this rank takes `micro_batches` (perhaps none).
    pub(crate) fn step<'b>(
        &mut self,
        micro_batches: impl ExactSizeIterator<Item = MicroBatch<'b>>,
        images: usize,
        lr: f64,
        stop: bool,
        source: &mut StepSource,
    ) -> Result<StepOutcome> {
        self.replica.zero();
        let mut loss_sum = 0.0;
        let last = micro_batches.len().saturating_sub(1);
        for (number, micro_batch) in micro_batches.enumerate() {
            if number == last {
                self.reducer.arm();
            }
            loss_sum += self.forward_backward(micro_batch.indices, images, source)?;
        }
        self.reducer.reduce(self.world)?;
        self.world.all_reduce(&mut self.replica.batch_sum);
        let (loss_sum, stop) = self.agree(loss_sum, stop);
        source.inspector.check_gradients(&self.replica)?;
        let updated = self.update(lr, images)?;
        Ok(StepOutcome { loss_sum, stop, updated })
    }

    /// Forward and backward of one micro-batch; its gradient is of the loss summed over the micro-batch and divided by
    /// the global batch's `images`. Returns the summed loss.
    fn forward_backward(&mut self, indices: &[usize], images: usize, source: &mut StepSource) -> Result<f64> {
        let (images_nchw, labels) = source.batches.load(indices, source.epoch);
        source.inspector.check_forward(&self.replica, &images_nchw)?;
        let logits = self.replica.logits(&self.replica.model, &images_nchw, Mode::Training)?;
        let loss = summed_loss(&logits, &labels, self.train.label_smoothing);
        (&loss / images as f64).backward();
        self.replica.add_batch_statistics(indices.len());
        Ok(host_value(&loss.detach()))
    }

    /// The step's control vector: what ranks must agree on, as one small sum.
    fn agree(&self, loss_sum: f64, stop: bool) -> (f64, bool) {
        let mut control = Tensor::from_slice(&[loss_sum, f64::from(u8::from(stop))]);
        self.world.all_reduce(&mut control);
        (control.double_value(&[0]), control.double_value(&[1]) > 0.0)
    }

    /// Clips, updates parameters, moving average and running statistics. Gradients that are not finite change nothing;
    /// every rank sees the same ones, so all skip together.
    fn update(&mut self, lr: f64, images: usize) -> Result<bool> {
        let norm = host_value(&self.replica.gradients.flat.norm());
        if !norm.is_finite() {
            return Ok(false);
        }
        let max_norm = self.train.clip_grad_norm;
        if max_norm > 0.0 && norm > max_norm {
            // The small term is PyTorch's clip_grad_norm_'s.
            _ = self.replica.gradients.flat.g_mul_scalar_(max_norm / (norm + 1e-6));
        }
        self.optimizer.step(lr)?;
        self.replica.move_running_statistics(images);
        if let Some(ema) = &mut self.ema {
            let parameters = &self.replica.parameters.flat;
            _ = tch::no_grad(|| ema.flat.lerp_(parameters, 1.0 - self.train.ema_decay));
        }
        Ok(true)
    }
}

/// Where a step's micro-batches come from.
pub(crate) struct StepSource<'a> {
    pub(crate) batches: Batches<'a>,
    pub(crate) epoch: u64,
    pub(crate) inspector: Inspector,
}
