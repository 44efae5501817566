//! The order of an epoch: which images form a step's global batch and how it is cut into micro-batches.

use std::collections::TryReserveError;

use crate::random::Purpose;
use crate::shard::Shard;

/// Cuts every epoch of a data set into global batches and these into micro-batches, as a pure function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Number of images in the data set.
    pub len: usize,
    /// Images that make one step, over all ranks; at least 1.
    pub global_batch_size: usize,
    /// Images that are normalised together; at least 1. The last micro-batch of a step may be smaller.
    pub micro_batch_size: usize,
    /// The run's seed.
    pub seed: u64,
    /// Whether an epoch ends with its last full global batch.
    pub drop_last: bool,
}

/// Consecutive images of a global batch that go through the network together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MicroBatch<'a> {
    /// Its number within the epoch, the same at any world size.
    pub number: usize,
    /// Indices of its images; never empty.
    pub indices: &'a [usize],
}

/// The seed of what is random within a micro-batch as a whole, such as dropout: a function of (seed, epoch, its number in
/// the epoch) alone.
pub fn micro_batch_seed(seed: u64, epoch: u64, number: usize) -> u64 {
    Purpose::MicroBatch.stream(&[seed, epoch, number as u64]).next_u64()
}

impl Sampler {
    /// Images that are seen in an epoch: all of them, or with `drop_last` those of the full global batches.
    pub fn images_per_epoch(&self) -> usize {
        if self.drop_last { self.len - self.len % self.global_batch_size } else { self.len }
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.images_per_epoch().div_ceil(self.global_batch_size)
    }

    /// The order of all images in an epoch, a function of (seed, epoch) alone; with `drop_last` its end is unused.
    ///
    /// # Errors
    /// If there is no memory for eight bytes an image.
    pub fn permutation(&self, epoch: u64) -> Result<Vec<usize>, TryReserveError> {
        let mut order = Vec::new();
        order.try_reserve_exact(self.len)?;
        order.extend(0..self.len);
        Purpose::Permutation.stream(&[self.seed, epoch]).shuffle(&mut order);
        Ok(order)
    }

    /// The images of step `step` of the epoch (counted from 0) whose permutation is given, over all ranks.
    ///
    /// # Panics
    /// If the epoch has no such step or the permutation is of another length.
    pub fn global_batch<'a>(&self, permutation: &'a [usize], step: usize) -> &'a [usize] {
        assert_eq!(permutation.len(), self.len, "a permutation of the data set's length");
        let start = step * self.global_batch_size;
        let end = (start + self.global_batch_size).min(self.images_per_epoch());
        &permutation[start..end]
    }

    /// The micro-batches of that step that the shard's rank takes, in order; perhaps none.
    ///
    /// # Panics
    /// As [`global_batch`](Self::global_batch).
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
