//! What this crate draws random numbers for.

use regatta_random::SplitMix64;

/// What a stream of random numbers is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    Permutation = 1,
    Augmentation = 2,
    SyntheticPattern = 3,
    SyntheticNoise = 4,
    MicroBatch = 5,
}

impl Purpose {
    /// The stream for one key, such as (seed, epoch).
    pub(crate) fn stream(self, key: &[u64]) -> SplitMix64 {
        SplitMix64::keyed(self as u64, key)
    }
}
