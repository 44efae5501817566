//! The only random number generator outside of libtorch: SplitMix64, simple enough to never need a change.
//!
//! The order of images, their augmentation and the networks of a sample are not recorded, but recomputed from a seed. The
//! numbers must therefore not change with a dependency's version, which general-purpose random number crates do not guarantee.

/// Steele, Lea and Flood's SplitMix64 ("Fast splittable pseudorandom number generators", OOPSLA 2014), as in
/// Vigna's reference code <https://prng.di.unimi.it/splitmix64.c>.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix64 {
    /// Returns the generator of the reference code, initialised with `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the stream for a purpose, one of a list in the calling crate, and a key, such as (seed, epoch). Streams for
    /// different purposes are unrelated.
    pub fn keyed(purpose: u64, key: &[u64]) -> Self {
        let start = finalise(purpose ^ GOLDEN_GAMMA);
        let fold = |state: u64, &part: &u64| finalise(state.wrapping_add(GOLDEN_GAMMA) ^ part);
        Self { state: key.iter().fold(start, fold) }
    }

    /// Returns a number of 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        finalise(self.state)
    }

    /// Returns a number in `0..bound`, exactly uniform (Lemire, "Fast random integer generation in an interval", 2019).
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below 0");
        // 2^64 mod bound: accepting products whose low half is smaller would favour some results.
        let reject_below = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= reject_below {
                return (product >> 64) as u64;
            }
        }
    }

    /// Returns a number in `[0, 1)`, a multiple of 2^-53.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Fills `bytes` with random bytes, the same on little- and big-endian machines.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }

    /// Shuffles `items` (Fisher and Yates, from the end; Knuth's algorithm P).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let chosen = self.below(last as u64 + 1) as usize;
            items.swap(last, chosen);
        }
    }
}

/// Applies SplitMix64's output function, a bijection of 64-bit numbers (Stafford's mix 13).
fn finalise(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
