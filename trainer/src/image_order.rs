//! The order in which a rank consumes images: the micro-batches of its steps, and the batches of its evaluations and of the
//! BatchNorm statistics that those may use.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result};
use regatta_comm::World;
use regatta_data::{Sampler, Shard};
use regatta_settings::Recipe;

use crate::datasets::{Datasets, Windows};
use crate::feed::{Purpose, Segment};
use crate::precise::PreciseBatches;
use crate::progress::Progress;

/// Maximum number of batches of an evaluation, and of precise statistics, in a debug run.
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
    /// The batches of the statistics before each evaluation, if they are precise.
    precise: Option<PreciseBatches>,
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
        let shard = Shard { rank: world.rank(), world_size: world.world_size() };
        let few = |images: usize, batch_size: usize| {
            if debug { images.min(DEBUG_BATCHES * batch_size) } else { images }
        };
        let batch_size = recipe.train.micro_batch_size;
        let precise = few(recipe.eval.precise_bn_images, batch_size);
        Self {
            sampler: sampler(recipe, datasets.train.len()),
            windows: datasets.windows.clone(),
            shard,
            validation_images: few(datasets.validation.len(), validation_batch_size),
            validation_batch_size,
            epochs: recipe.train.epochs,
            max_steps: recipe.train.max_steps,
            evaluation_interval: recipe.eval.interval_epochs,
            evaluations: 1 + usize::from(recipe.train.keeps_average()),
            precise: (precise > 0).then_some(PreciseBatches { images: precise, batch_size, shard }),
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

    /// Returns the batches of the statistics before each evaluation, if they are precise.
    pub(crate) fn precise_batches(&self) -> Option<PreciseBatches> {
        self.precise
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
            let precise = order.precise.filter(|_| is_evaluated);
            let (trained, sampled, evaluated) = (order.clone(), order.clone(), order.clone());
            let training =
                std::iter::once_with(move || trained.training(epoch, start as usize..end as usize));
            let precise = precise.into_iter().map(move |batches| sampled.precise_statistics(epoch, batches));
            training.chain(precise).chain((0..evaluations).map(move |_| Ok(evaluated.evaluation(epoch))))
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
        Ok(Segment { purpose: Purpose::Training, epoch, micro_batches: Box::new(steps.flat_map(of_step)) })
    }

    /// Returns this rank's batches of the statistics before an epoch's evaluations.
    fn precise_statistics(&self, epoch: u64, batches: PreciseBatches) -> Result<Segment> {
        let sample = self.sampler.sample(epoch, batches.images).context("a sample of training images")?;
        let batches = batches.of_rank().map(move |positions| sample[positions].to_vec());
        Ok(Segment { purpose: Purpose::PreciseStatistics, epoch, micro_batches: Box::new(batches) })
    }

    /// Returns this rank's part of an evaluation.
    fn evaluation(&self, epoch: u64) -> Segment {
        let batches = self.shard.evaluation_batches(self.validation_images, self.validation_batch_size);
        Segment {
            purpose: Purpose::Evaluation,
            epoch,
            micro_batches: Box::new(batches.map(Iterator::collect)),
        }
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
