//! Random numbers that stay the same for ever: SplitMix64, keyed by what they are for.
//!
//! A sampled network is named by its space, seed and index, and drawn again from them. So the numbers must not change
//! with a dependency's version, which no general crate for random numbers promises.

/// What a stream of random numbers is for. Streams of different purposes have nothing in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    Network = 1,
    Resample = 2,
}

/// Steele, Lea and Flood's SplitMix64 ("Fast splittable pseudorandom number generators", OOPSLA 2014), as in
/// Vigna's reference code <https://prng.di.unimi.it/splitmix64.c>.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix64 {
    /// The generator of the reference code, started at `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The stream for one purpose and key, such as (seed, index).
    pub(crate) fn keyed(purpose: Purpose, key: &[u64]) -> Self {
        let start = finalise(purpose as u64 ^ GOLDEN_GAMMA);
        let fold = |state: u64, &part: &u64| finalise(state.wrapping_add(GOLDEN_GAMMA) ^ part);
        Self { state: key.iter().fold(start, fold) }
    }

    /// A number of 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        finalise(self.state)
    }

    /// A number in `0..bound`, every one exactly as likely (Lemire, "Fast random integer generation in an
    /// interval", 2019).
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below 0");
        // 2^64 mod bound: the products whose low half is smaller would favour some results.
        let reject_below = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= reject_below {
                return (product >> 64) as u64;
            }
        }
    }

    /// A number in `[0, 1)`, a multiple of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The bijection of 64-bit numbers that gives SplitMix64 its output (Stafford's mix 13).
fn finalise(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
