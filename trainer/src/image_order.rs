//! The order in which a rank consumes images: the micro-batches of its steps, and the batches of its evaluations.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result};
use regatta_comm::World;
use regatta_data::{Sampler, Shard, Split};
use regatta_settings::Recipe;

use crate::datasets::{Datasets, Windows};
use crate::feed::Segment;
use crate::progress::Progress;

/// Maximum number of validation batches in a debug run.
const DEBUG_BATCHES: usize = 4;

/// The order of images over a whole run on one rank, a pure function of the recipe.
#[derive(Clone)]
pub(crate) struct ImageOrder {
    sampler: Sampler,
    /// The order by windows of archives, in place of the sampler's permutation.
    windows: Option<Arc<Windows>>,
    shard: Shard,
    validation_images: usize,
    validation_batch_size: usize,
    epochs: u64,
    max_steps: Option<u64>,
    evaluation_interval: u64,
    /// Evaluations of an epoch: of the weights, and of their moving average if there is one.
    evaluations: usize,
}

/// Images of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepImages {
    /// Number of images on all ranks.
    pub(crate) images: usize,
    /// Numbers of this rank's micro-batches in the epoch; may be empty.
    pub(crate) numbers: Range<usize>,
}

impl ImageOrder {
    /// Returns the order of this rank's images. A debug run evaluates a few batches only.
    pub(crate) fn new(recipe: &Recipe, datasets: &Datasets, debug: bool, world: &World) -> Self {
        let validation_batch_size = recipe.eval.batch_size;
        let all = datasets.validation.len();
        Self {
            sampler: sampler(recipe, datasets.train.len()),
            windows: datasets.windows.clone(),
            shard: Shard { rank: world.rank(), world_size: world.world_size() },
            validation_images: if debug { all.min(DEBUG_BATCHES * validation_batch_size) } else { all },
            validation_batch_size,
            epochs: recipe.train.epochs,
            max_steps: recipe.train.max_steps,
            evaluation_interval: recipe.eval.interval_epochs,
            evaluations: 1 + usize::from(recipe.train.ema_decay > 0.0),
        }
    }

    /// Returns the number of training images.
    pub(crate) fn training_images(&self) -> usize {
        self.sampler.len
    }

    /// Returns the number of images of an evaluation, on all ranks.
    pub(crate) fn validation_images(&self) -> usize {
        self.validation_images
    }

    /// Returns the number of steps in an epoch.
    pub(crate) fn steps_per_epoch(&self) -> u64 {
        self.sampler.steps_per_epoch() as u64
    }

    /// Returns the images of a step, counted from 0 within its epoch.
    pub(crate) fn step(&self, step: u64) -> StepImages {
        let step = step as usize;
        StepImages {
            images: self.sampler.positions(step).len(),
            numbers: self.sampler.micro_batch_numbers(step, self.shard),
        }
    }

    /// Returns whether there is any evaluation.
    pub(crate) fn evaluates(&self) -> bool {
        self.evaluation_interval > 0
    }

    /// Returns whether epoch `number`, counted from 1, is evaluated at its end.
    pub(crate) fn evaluates_after(&self, number: u64) -> bool {
        self.evaluates() && (number == self.epochs || number.is_multiple_of(self.evaluation_interval))
    }

    /// Returns everything that the run consumes from `progress` on, in order, unless it is stopped.
    pub(crate) fn segments(&self, progress: &Progress) -> impl Iterator<Item = Result<Segment>> + use<> {
        let (first, within, steps) = (progress.epoch, progress.step_in_epoch, self.steps_per_epoch());
        let done_before = progress.step - within;
        let order = self.clone();
        let max_steps = self.max_steps.unwrap_or(u64::MAX);
        let epochs = (first..self.epochs).map(move |epoch| {
            let start = if epoch == first { within } else { 0 };
            // Steps of this epoch until the limit.
            let limit = max_steps.saturating_sub(done_before + (epoch - first) * steps);
            (epoch, start, limit)
        });
        let reached = epochs.take_while(|&(_, start, limit)| limit > start || start > 0);
        reached.flat_map(move |(epoch, start, limit)| {
            let end = steps.min(limit).max(start);
            let is_evaluated =
                if end == steps { order.evaluates_after(epoch + 1) } else { order.evaluates() };
            let evaluations = if is_evaluated { order.evaluations } else { 0 };
            let (trained, evaluated) = (order.clone(), order.clone());
            let training =
                std::iter::once_with(move || trained.training(epoch, start as usize..end as usize));
            training.chain((0..evaluations).map(move |_| Ok(evaluated.evaluation(epoch))))
        })
    }

    /// Returns a single evaluation, in epoch 0.
    pub(crate) fn one_evaluation(&self) -> impl Iterator<Item = Result<Segment>> + use<> {
        std::iter::once(Ok(self.evaluation(0)))
    }

    /// Returns these steps of an epoch.
    fn training(self, epoch: u64, steps: Range<usize>) -> Result<Segment> {
        let Self { sampler, windows, shard, .. } = self;
        let permutation = match &windows {
            Some(windows) => windows.order.permutation(epoch),
            None => sampler.permutation(epoch),
        };
        let permutation = permutation.context("an epoch's order of images")?;
        let of_step = move |step| -> Vec<_> {
            if let Some(windows) = &windows {
                windows.read_ahead.advance(epoch, sampler.positions(step).start);
            }
            let micro_batches = sampler.micro_batches(&permutation, step, shard);
            micro_batches.map(|micro_batch| micro_batch.indices.to_vec()).collect()
        };
        Ok(Segment { split: Split::Train, epoch, micro_batches: Box::new(steps.flat_map(of_step)) })
    }

    /// Returns this rank's part of an evaluation.
    fn evaluation(&self, epoch: u64) -> Segment {
        let batches = self.shard.evaluation_batches(self.validation_images, self.validation_batch_size);
        Segment { split: Split::Validation, epoch, micro_batches: Box::new(batches.map(Iterator::collect)) }
    }
}

/// Returns the sampler of a training set of `len` images.
pub(crate) fn sampler(recipe: &Recipe, len: usize) -> Sampler {
    let train = &recipe.train;
    Sampler {
        len,
        global_batch_size: train.global_batch_size,
        micro_batch_size: train.micro_batch_size,
        seed: train.seed,
        drop_last: train.drop_last,
    }
}
