//! The order of images in an epoch, its division into global batches, and theirs into micro-batches.

use std::collections::TryReserveError;
use std::ops::Range;

use crate::random::Purpose;
use crate::shard::Shard;

/// Divides each epoch of a data set into global batches and these into micro-batches, as a pure function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Number of images in the data set.
    pub len: usize,
    /// Images per step, over all ranks; at least 1.
    pub global_batch_size: usize,
    /// Images over which BatchNorm computes its statistics; at least 1. The last micro-batch of a step may be smaller.
    pub micro_batch_size: usize,
    /// The run's seed.
    pub seed: u64,
    /// Whether to drop the last global batch of an epoch if it is not full.
    pub drop_last: bool,
}

/// Consecutive images of a global batch that are processed in one forward and backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MicroBatch<'a> {
    /// Its number within the epoch, the same at any world size.
    pub number: usize,
    /// Indices of its images; never empty.
    pub indices: &'a [usize],
}

/// Returns the seed for random numbers of a micro-batch as a whole, such as dropout. It depends only on (seed, epoch, the
/// micro-batch's number in the epoch).
pub fn micro_batch_seed(seed: u64, epoch: u64, number: usize) -> u64 {
    Purpose::MicroBatch.stream(&[seed, epoch, number as u64]).next_u64()
}

impl Sampler {
    /// Returns the number of images used in an epoch: all of them, or with `drop_last` those of the full global batches.
    pub fn images_per_epoch(&self) -> usize {
        if self.drop_last { self.len - self.len % self.global_batch_size } else { self.len }
    }

    /// Returns the number of steps in an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.images_per_epoch().div_ceil(self.global_batch_size)
    }

    /// Returns the order of all images in an epoch. It depends only on (seed, epoch); with `drop_last` its end is unused.
    ///
    /// # Errors
    /// If there is not enough memory for eight bytes per image.
    pub fn permutation(&self, epoch: u64) -> Result<Vec<usize>, TryReserveError> {
        self.shuffled(Purpose::Permutation, epoch)
    }

    /// Returns `images` different images of an epoch for statistics of the network, in an order of their own, unrelated to the
    /// epoch's: the first ones of another permutation, which also depends only on (seed, epoch).
    ///
    /// # Errors
    /// As [`permutation`](Self::permutation).
    ///
    /// # Panics
    /// If the data set has fewer images.
    pub fn sample(&self, epoch: u64, images: usize) -> Result<Vec<usize>, TryReserveError> {
        assert!(images <= self.len, "{images} images of {}", self.len);
        let mut order = self.shuffled(Purpose::StatisticsSample, epoch)?;
        order.truncate(images);
        Ok(order)
    }

    fn shuffled(&self, purpose: Purpose, epoch: u64) -> Result<Vec<usize>, TryReserveError> {
        let mut order = Vec::new();
        order.try_reserve_exact(self.len)?;
        order.extend(0..self.len);
        purpose.stream(&[self.seed, epoch]).shuffle(&mut order);
        Ok(order)
    }

    /// Returns the images of step `step`, counted from 0, over all ranks, for the permutation of an epoch.
    ///
    /// # Panics
    /// If the epoch has no such step or the permutation has another length.
    pub fn global_batch<'a>(&self, permutation: &'a [usize], step: usize) -> &'a [usize] {
        assert_eq!(permutation.len(), self.len, "a permutation of the data set's length");
        &permutation[self.positions(step)]
    }

    /// Returns the positions of that step's images in the permutation of an epoch.
    pub fn positions(&self, step: usize) -> Range<usize> {
        let start = step * self.global_batch_size;
        start..(start + self.global_batch_size).min(self.images_per_epoch())
    }

    /// Returns the numbers of that step's micro-batches for the shard's rank, within the epoch; may be empty.
    pub fn micro_batch_numbers(&self, step: usize, shard: Shard) -> Range<usize> {
        let first = step * self.global_batch_size.div_ceil(self.micro_batch_size);
        let of_step = shard.range(self.positions(step).len().div_ceil(self.micro_batch_size));
        first + of_step.start..first + of_step.end
    }

    /// Returns the micro-batches of that step for the shard's rank, in order; may be empty.
    ///
    /// # Panics
    /// Like [`global_batch`](Self::global_batch).
    pub fn micro_batches<'a>(
        &self,
        permutation: &'a [usize],
        step: usize,
        shard: Shard,
    ) -> impl ExactSizeIterator<Item = MicroBatch<'a>> + use<'a> {
        let global_batch = self.global_batch(permutation, step);
        let size = self.micro_batch_size;
        let first = step * self.global_batch_size.div_ceil(size);
        shard.range(global_batch.len().div_ceil(size)).map(move |k| MicroBatch {
            number: first + k,
            indices: &global_batch[k * size..((k + 1) * size).min(global_batch.len())],
        })
    }
}
