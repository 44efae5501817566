//! The purposes for which this crate uses random numbers.

use regatta_random::SplitMix64;

/// The purpose of a stream of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    Space = 1,
    MedianDifference = 2,
    RangeOfBest = 3,
}

impl Purpose {
    /// Returns the stream for a key, such as (seed, index).
    pub(crate) fn stream(self, key: &[u64]) -> SplitMix64 {
        SplitMix64::keyed(self as u64, key)
    }
}
