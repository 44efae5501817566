//! The purposes for which this crate uses random numbers.

use regatta_random::SplitMix64;

/// The purpose of a stream of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    Permutation = 1,
    Augmentation = 2,
    SyntheticPattern = 3,
    SyntheticNoise = 4,
    MicroBatch = 5,
    RandomResizedCrop = 6,
    AutoAugment = 7,
    ColorJitter = 8,
    Lighting = 9,
    Erasing = 10,
    Mix = 11,
    StatisticsSample = 28,
    PackOrder = 29,
    ShardOrder = 30,
    WindowOrder = 31,
    ErasingNoise = 32,
    Replacement = 33,
    Subset = 34,
}

impl Purpose {
    /// Returns the stream for a key, such as (seed, epoch).
    pub(crate) fn stream(self, key: &[u64]) -> SplitMix64 {
        SplitMix64::keyed(self as u64, key)
    }
}
