//! One optimizer step: forward and backward over this rank's micro-batches, gradient reduction, parameter update. The host
//! never waits for a GPU in it.

use std::ops::Range;

use anyhow::{Context, Result};
use regatta_comm::{Reducer, World};
use regatta_data::micro_batch_seed;
use regatta_model::Mode;
use regatta_settings::{DataSettings, Precision, Recipe, TrainSettings};
use tch::{Device, Kind, Tensor};

use crate::attribution::{Phase, SpareMarks, StepTimes};
use crate::average::{Average, Position};
use crate::control::{PendingOutcome, Requests, agree};
use crate::debug::Inspector;
use crate::feed::Feed;
use crate::loss::{hits, summed_training_loss};
use crate::loss_scale::{LossScale, LossScaleState, found_inf};
use crate::mixing::Mixing;
use crate::optimizer::Optimizer;
use crate::recording::Recorder;
use crate::replica::Replica;
use crate::tensorboard::FirstImages;

/// A step that the host has launched; a GPU may not have finished it.
#[derive(Debug)]
pub(crate) struct LaunchedStep {
    /// The outcome that the ranks agreed on.
    pub(crate) pending: PendingOutcome,
    /// Time by phase.
    pub(crate) times: StepTimes,
    /// 1 if the parameters were updated, else 0: a float32 scalar on the device.
    updated: Tensor,
}

/// Loss and hits summed over a micro-batch's images, on the device.
struct MicroBatchSums {
    /// The loss that backward starts from.
    loss: Tensor,
    /// Number of images whose label has the largest logit, in float64; of a mixed image, the label with the larger share.
    hits: Tensor,
}

/// What an update found in the gradients, on the device.
#[derive(Debug)]
pub(crate) struct Update {
    /// 1 if they were not finite, so that nothing was changed, else 0: a float32 scalar.
    pub(crate) found_inf: Tensor,
    /// Their L2 norm before clipping.
    pub(crate) grad_norm: Tensor,
}

/// The state that a step changes: network, optimizer, moving average, loss scale.
pub(crate) struct Learner<'a> {
    pub(crate) replica: Replica,
    pub(crate) optimizer: Optimizer,
    /// Exponential moving average of parameters and statistics, if the recipe keeps one.
    pub(crate) ema: Option<Average>,
    /// Set with fp16 only.
    pub(crate) loss_scale: Option<LossScale>,
    /// Set until a step has had images, if its images are to be shown.
    pub(crate) first_images: Option<FirstImages>,
    /// Set if the recipe mixes images.
    mixing: Option<Mixing>,
    reducer: Reducer,
    recorder: Recorder,
    /// This rank's loss and hits of the step, summed over images. Never reallocated, since CUDA graphs hold its address.
    sums: Tensor,
    spare_marks: SpareMarks,
    train: &'a TrainSettings,
    data: &'a DataSettings,
    world: &'a World,
}

impl<'a> Learner<'a> {
    /// Creates the state around a replica. Rank 0's replica replaces the others' when the state is shared.
    ///
    /// # Errors
    /// Gradient buckets or hooks that cannot be set up.
    pub(crate) fn new(recipe: &'a Recipe, replica: Replica, world: &'a World) -> Result<Self> {
        let Replica { layout, specs, parameters, gradients, .. } = &replica;
        let reducer =
            Reducer::new(layout, specs, parameters, gradients, recipe.comm.gradient_compression, world)?;
        let ema = Average::new(recipe, &replica);
        let optimizer = Optimizer::new(&recipe.optim, &replica);
        let is_fp16 = recipe.train.precision == Precision::Fp16;
        let loss_scale = is_fp16.then(|| LossScale::new(LossScaleState::default(), replica.device()));
        Ok(Self {
            recorder: Recorder::new(recipe, replica.device(), world),
            sums: Tensor::zeros([2], (Kind::Double, replica.device())),
            spare_marks: SpareMarks::default(),
            replica,
            optimizer,
            ema,
            loss_scale,
            first_images: None,
            mixing: Mixing::of(recipe),
            reducer,
            train: &recipe.train,
            data: &recipe.data,
            world,
        })
    }

    /// Runs one step over a global batch of `images` images. This rank takes the next micro-batches from the source, numbered
    /// `micro_batches` in the epoch; the range may be empty. [`update_average`](Self::update_average) follows. A collective.
    ///
    /// # Errors
    /// Images that cannot be read, failed collectives and device errors.
    pub(crate) fn step(
        &mut self,
        micro_batches: Range<usize>,
        images: usize,
        lr: f64,
        requests: Requests,
        source: &mut StepSource,
    ) -> Result<LaunchedStep> {
        let mut times = StepTimes::begin(self.device(), &self.spare_marks)?;
        let is_full =
            images == self.train.global_batch_size && images.is_multiple_of(self.train.micro_batch_size);
        let px = self.data.resolution_px_in(source.feed.epoch());
        let replays = self.recorder.begin_step(is_full && !source.inspector.enabled, px);
        self.replica.zero();
        _ = self.sums.zero_();
        for number in micro_batches.clone() {
            let (images_nchw, labels) = source.take(&mut times)?;
            let (images_nchw, targets) = match &self.mixing {
                Some(mixing) => mixing.apply((source.feed.epoch(), number), &images_nchw, &labels),
                None => (images_nchw, labels),
            };
            if let Some(first) = &mut self.first_images {
                first.add(&images_nchw);
            }
            source.inspector.check_forward(&self.replica, &images_nchw)?;
            self.replica.seed_dropout(micro_batch_seed(self.train.seed, source.feed.epoch(), number));
            if replays {
                self.replay_micro_batch(&images_nchw, &targets, images)?;
            } else {
                let sums = self.forward(&images_nchw, &targets)?;
                times.end(Phase::Forward)?;
                if number + 1 == micro_batches.end {
                    self.reducer.arm();
                }
                self.backward(&sums, targets.size()[0] as usize, images);
            }
            times.end(Phase::Backward)?;
        }
        self.reducer.reduce(self.world)?;
        let bad_images = source.feed.take_replaced();
        let control = agree(&self.sums, requests, bad_images, &mut self.replica.batch_sum, self.world)?;
        times.end(Phase::ExposedComm)?;
        source.inspector.check_gradients(&self.replica)?;
        self.optimizer.set_lr(lr);
        let Update { found_inf, grad_norm } =
            if replays { self.replay_update(images)? } else { self.update(images)? };
        times.end(Phase::Optimizer)?;
        let updated = 1 - found_inf;
        let loss_scale = self.loss_scale.as_ref().map(LossScale::scale);
        let pending = PendingOutcome::begin(&control, &updated, &grad_norm, loss_scale)?;
        Ok(LaunchedStep { pending, times, updated })
    }

    /// Updates the moving average, if there is one, after the launched step at this position. The host does not wait for the
    /// step.
    ///
    /// # Errors
    /// Device errors.
    pub(crate) fn update_average(&mut self, launched: &mut LaunchedStep, at: Position) -> Result<()> {
        let Some(ema) = &mut self.ema else { return Ok(()) };
        ema.update(&self.replica, at, &launched.updated);
        launched.times.end(Phase::Optimizer)
    }

    /// Returns the summed loss and the hits of a micro-batch, on the device.
    fn forward(&self, images_nchw: &Tensor, targets: &Tensor) -> Result<MicroBatchSums> {
        let logits = self.replica.logits(&self.replica.model, images_nchw, Mode::Training)?;
        let loss = summed_training_loss(&logits, targets, self.train);
        Ok(MicroBatchSums { loss, hits: hits(&logits, targets) })
    }

    /// Adds a micro-batch to the step's sums: the gradient of its summed loss divided by the global batch's `images`, its loss
    /// and hits, and the BatchNorm statistics of its `count` images.
    fn backward(&mut self, MicroBatchSums { loss, hits }: &MicroBatchSums, count: usize, images: usize) {
        let mean = loss / images as f64;
        self.loss_scale.as_ref().map_or_else(|| mean.shallow_clone(), |scale| scale.scaled(&mean)).backward();
        self.replica.add_batch_statistics(count);
        _ = self.sums.g_add_(&Tensor::stack(&[&loss.detach().to_kind(Kind::Double), hits], 0));
    }

    /// Runs forward and backward as one CUDA graph; its time counts as backward.
    fn replay_micro_batch(&mut self, images_nchw: &Tensor, targets: &Tensor, images: usize) -> Result<()> {
        let mut recorder = std::mem::take(&mut self.recorder);
        let outcome = recorder.micro_batch(images_nchw, targets, |images_nchw, targets| {
            let sums = self.forward(images_nchw, targets)?;
            self.backward(&sums, targets.size()[0] as usize, images);
            Ok(())
        });
        self.recorder = recorder;
        outcome
    }

    fn replay_update(&mut self, images: usize) -> Result<Update> {
        let mut recorder = std::mem::take(&mut self.recorder);
        let outcome = recorder.update(|| self.update(images));
        self.recorder = recorder;
        outcome
    }

    /// Clips the gradients and updates parameters and running statistics. Gradients that are not finite change
    /// nothing; every rank sees the same gradients, so all ranks skip together.
    fn update(&mut self, images: usize) -> Result<Update> {
        let gradients = &mut self.replica.gradients.flat;
        if let Some(scale) = &self.loss_scale {
            scale.unscale(gradients);
        }
        let grad_norm = gradients.norm();
        let found_inf = found_inf(&grad_norm);
        let max_norm = self.train.clip_grad_norm;
        if max_norm > 0.0 {
            // 1e-6 as in PyTorch's clip_grad_norm_.
            _ = gradients.g_mul_(&(max_norm / (&grad_norm + 1e-6)).clamp_max(1.0));
        }
        self.optimizer.step(&found_inf)?;
        self.replica.move_running_statistics(images, &found_inf);
        if let Some(scale) = &mut self.loss_scale {
            scale.update(&found_inf);
        }
        Ok(Update { found_inf, grad_norm })
    }

    /// Returns the device that this rank computes on.
    pub(crate) fn device(&self) -> Device {
        self.replica.device()
    }
}

/// The source of a step's micro-batches.
pub(crate) struct StepSource {
    pub(crate) feed: Feed,
    pub(crate) inspector: Inspector,
}

impl StepSource {
    /// Returns the next micro-batch on the device: images `[n, c, h, w]` and labels `[n]`. Starts the copy of the one after it,
    /// perhaps of the next step, if it is loaded, so that the copy overlaps with the computation on this one.
    fn take(&mut self, times: &mut StepTimes) -> Result<(Tensor, Tensor)> {
        self.feed.wait();
        times.end(Phase::Data)?;
        let micro_batch =
            self.feed.next()?.context("the step needs more micro-batches than its epoch has")?;
        times.end(Phase::Copy)?;
        self.feed.prefetch();
        times.end(Phase::Data)?;
        Ok(micro_batch)
    }
}
