//! Precise BatchNorm: the statistics of the weights as they are now, over a sample of training images, for an evaluation.
//!
//! Running statistics lag behind the weights. As in pycls (`compute_precise_bn_stats`), the mean and variance of every batch of
//! the sample are averaged instead. They never reach the run's own statistics.

use std::ops::Range;

use anyhow::{Context, Result};
use regatta_comm::{FlatBuffer, World};
use regatta_data::Shard;
use regatta_model::Model;
use tch::{Kind, Tensor};

use crate::average::Average;
use crate::feed::Feed;
use crate::replica::Replica;

/// BatchNorm statistics of the weights after a step.
#[derive(Debug)]
pub(crate) struct PreciseStatistics {
    /// Steps done.
    pub(crate) step: u64,
    /// Those of the trained weights.
    pub(crate) model: FlatBuffer,
    /// Those of the moving average, if there is one.
    pub(crate) ema: Option<FlatBuffer>,
}

/// The batches of a sample of images. In each round every rank takes one batch, in the order of ranks; in the last round some
/// ranks may have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PreciseBatches {
    /// Number of images on all ranks.
    pub(crate) images: usize,
    /// Images in a batch; the last one may be smaller.
    pub(crate) batch_size: usize,
    pub(crate) shard: Shard,
}

impl PreciseBatches {
    /// Returns the positions in the sample of this rank's batches, in order.
    pub(crate) fn of_rank(self) -> impl Iterator<Item = Range<usize>> {
        (self.shard.rank..self.len()).step_by(self.shard.world_size).map(move |number| self.batch(number))
    }

    /// Returns the numbers of the batches in each round, one for each rank from rank 0 on.
    fn rounds(self) -> impl Iterator<Item = Range<usize>> {
        let ranks = self.shard.world_size;
        (0..self.len()).step_by(ranks).map(move |first| first..(first + ranks).min(self.len()))
    }

    fn len(self) -> usize {
        self.images.div_ceil(self.batch_size)
    }

    fn batch(self, number: usize) -> Range<usize> {
        number * self.batch_size..((number + 1) * self.batch_size).min(self.images)
    }
}

/// Computes the statistics of the replica's weights and of their average, after `step` steps, over the batches of the feed's
/// current segment. The result is equal to the bit at any world size, if batches are computed equally: each row of a round is
/// written by one rank and zero on the others, and rows are added in the batches' order. Returns `None` if `stop` returned true
/// on some rank. A collective.
///
/// # Errors
/// Images that cannot be read, failed collectives and device errors.
pub(crate) fn precise_statistics(
    (replica, ema): (&mut Replica, Option<&Average>),
    step: u64,
    feed: &mut Feed,
    batches: PreciseBatches,
    world: &World,
    stop: &dyn Fn() -> bool,
) -> Result<Option<PreciseStatistics>> {
    let _no_grad = tch::no_grad_guard();
    let mut models = vec![replica.model_over(&replica.parameters, &replica.running)];
    models.extend(ema.map(|ema| replica.model_over(&ema.parameters, &ema.running)));
    let width = (models.len() * replica.running.flat.numel()) as i64;
    let options = (Kind::Double, replica.device());
    let mut sum = Tensor::zeros([width], options);
    let mut stopped = false;
    for round in batches.rounds() {
        let mut rows = Tensor::zeros([round.len() as i64 * width], options);
        stopped = stopped || stop();
        if batches.shard.rank < round.len() && !stopped {
            let mut row = rows.narrow(0, batches.shard.rank as i64 * width, width);
            write_row(&mut row, replica, &models, feed)?;
        }
        world.all_reduce(&mut rows)?;
        for (rank, number) in round.enumerate() {
            let row = rows.narrow(0, rank as i64 * width, width);
            _ = sum.g_add_(&(row * batches.batch(number).len() as f64));
        }
    }
    // Replaced images are counted when they are trained on.
    _ = feed.take_replaced();
    let mut stops = [i64::from(stopped)];
    world.all_reduce_counts(&mut stops);
    Ok((stops[0] == 0).then(|| in_buffers(&(sum / batches.images as f64), replica, step, models.len())))
}

/// Writes the statistics of this rank's next batch under each model to its row.
fn write_row(row: &mut Tensor, replica: &mut Replica, models: &[Model], feed: &mut Feed) -> Result<()> {
    let (images_nchw, _) =
        feed.next()?.context("precise statistics need more batches than were announced")?;
    feed.prefetch();
    for (model, mut part) in models.iter().zip(row.chunk(models.len() as i64, 0)) {
        replica.write_batch_statistics(model, &images_nchw, &mut part)?;
    }
    Ok(())
}

fn in_buffers(mean: &Tensor, replica: &Replica, step: u64, models: usize) -> PreciseStatistics {
    let mut buffers = mean.chunk(models as i64, 0).into_iter().map(|part| {
        let mut buffer = replica.running.zeros_like();
        buffer.flat.copy_(&part);
        buffer
    });
    let model = buffers.next().expect("the trained weights are the first model");
    PreciseStatistics { step, model, ema: buffers.next() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_batch_is_in_one_round_of_one_rank() {
        for (images, batch_size, world_size) in
            [(26, 4, 1), (26, 4, 2), (26, 4, 3), (8, 4, 3), (3, 4, 2), (5, 1, 2)]
        {
            let of = |rank| PreciseBatches { images, batch_size, shard: Shard { rank, world_size } };
            let ranks: Vec<Vec<_>> = (0..world_size).map(|rank| of(rank).of_rank().collect()).collect();
            let mut next = 0;
            for (number, round) in of(0).rounds().enumerate() {
                assert!(!round.is_empty() && round.len() <= world_size);
                for of_rank in &ranks[..round.len()] {
                    let batch = &of_rank[number];
                    assert_eq!(batch.start, next, "{images} {batch_size} {world_size}");
                    assert!(batch.len() == batch_size || batch.end == images);
                    next = batch.end;
                }
            }
            assert_eq!(next, images);
            assert_eq!(ranks.iter().map(Vec::len).sum::<usize>(), images.div_ceil(batch_size));
        }
    }
}
