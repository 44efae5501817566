//! What this crate draws random numbers for.

use regatta_random::SplitMix64;

/// What a stream of random numbers is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    Network = 1,
    Resample = 2,
}

impl Purpose {
    /// The stream for one key, such as (seed, index).
    pub(crate) fn stream(self, key: &[u64]) -> SplitMix64 {
        SplitMix64::keyed(self as u64, key)
    }
}
