//! The one source of random numbers outside of libtorch: SplitMix64, small enough to be the same for ever.
//!
//! A run's order and its augmentation, and the networks of a sample, are recorded nowhere; they are recomputed from a seed.
//! So the numbers must not change with a dependency's version, which no general crate for random numbers promises.

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

    /// The stream for one purpose, of which a crate has a list, and key, such as (seed, epoch). Streams of different
    /// purposes have nothing in common.
    pub fn keyed(purpose: u64, key: &[u64]) -> Self {
        let start = finalise(purpose ^ GOLDEN_GAMMA);
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

    /// Random bytes, the same on little- and big-endian machines.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }

    /// Puts `items` in random order (Fisher and Yates, from the end; Knuth's algorithm P).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let chosen = self.below(last as u64 + 1) as usize;
            items.swap(last, chosen);
        }
    }
}

/// The bijection of 64-bit numbers that gives SplitMix64 its output (Stafford's mix 13).
fn finalise(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
