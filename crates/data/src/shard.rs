//! The assignment of consecutive items to ranks.

use std::ops::Range;

/// A rank and the world size. This crate needs to know nothing else about ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// This rank, counted from 0.
    pub rank: usize,
    /// Number of ranks; at least 1.
    pub world_size: usize,
}

impl Shard {
    /// Returns the items of `0..count` assigned to this rank. In order of ranks, the ranges cover `0..count` without gap or
    /// overlap; their lengths differ by at most one, and the first ranks have the longer ones.
    ///
    /// # Panics
    /// If the rank is not below the world size.
    pub fn range(&self, count: usize) -> Range<usize> {
        assert!(self.rank < self.world_size, "rank {} of {}", self.rank, self.world_size);
        let (each, longer) = (count / self.world_size, count % self.world_size);
        let start = self.rank * each + self.rank.min(longer);
        start..start + each + usize::from(self.rank < longer)
    }

    /// Returns this rank's batches of an evaluation over `len` images in the data set's order, as ranges of image indices.
    /// Every image is in exactly one batch of one rank, and the batches do not depend on the world size.
    ///
    /// # Panics
    /// If `batch_size` is 0 or the rank is not below the world size.
    pub fn evaluation_batches(
        &self,
        len: usize,
        batch_size: usize,
    ) -> impl ExactSizeIterator<Item = Range<usize>> + use<> {
        self.range(len.div_ceil(batch_size)).map(move |k| k * batch_size..((k + 1) * batch_size).min(len))
    }
}
