//! Changes the bytes of inputs at random, from a seed.

use regatta_random::SplitMix64;

/// Longest input, in bytes.
const MOST_BYTES: usize = 64 << 10;

/// Sizes at which formats and integers have their limits.
const LIMITS: [u64; 12] = [0, 1, 7, 8, 255, 256, 0x7fff, 65_500, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];

pub(super) struct Mutator {
    random: SplitMix64,
    dictionary: &'static [&'static [u8]],
}

impl Mutator {
    pub(super) fn new(seed: u64, dictionary: &'static [&'static [u8]]) -> Self {
        Self { random: SplitMix64::new(seed), dictionary }
    }

    /// Returns true once in `times`.
    pub(super) fn chance(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Changes an input of the pool in one to four ways.
    pub(super) fn mutate(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.pick(pool).clone();
        // One change is the most likely.
        let most = 1 + self.below(4);
        for _ in 0..1 + self.below(most) {
            match self.below(9) {
                0 | 1 => self.flip_bit(&mut bytes),
                2 | 3 => self.change_integer(&mut bytes),
                4 => self.place_word(&mut bytes),
                5 => self.insert(&mut bytes),
                6 => self.remove(&mut bytes),
                7 => self.splice(&mut bytes, pool),
                _ => self.truncate(&mut bytes),
            }
        }
        bytes.truncate(MOST_BYTES);
        bytes
    }

    fn flip_bit(&mut self, bytes: &mut [u8]) {
        let (at, bit) = (self.below(bytes.len()), self.below(8));
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }

    /// Writes a limit, a neighbour of the present value or any number to a field of 1, 2, 4 or 8 bytes in either order.
    fn change_integer(&mut self, bytes: &mut [u8]) {
        let (width, at, is_big) = (1 << self.below(4), self.below(bytes.len()), self.chance(2));
        let Some(field) = bytes.get_mut(at..at + width) else { return };
        let mut value = [0; 8];
        value[8 - width..].copy_from_slice(field);
        if !is_big {
            value[8 - width..].reverse();
        }
        let present = u64::from_be_bytes(value);
        let new = match self.below(4) {
            0 => *self.pick(&LIMITS),
            1 => present.wrapping_add(1),
            2 => present.wrapping_sub(1),
            _ => self.random.below(u64::MAX),
        };
        field.copy_from_slice(&new.to_be_bytes()[8 - width..]);
        if !is_big {
            field.reverse();
        }
    }

    /// Writes a word of the dictionary over other bytes.
    fn place_word(&mut self, bytes: &mut [u8]) {
        let (word, at) = (*self.pick(self.dictionary), self.below(bytes.len()));
        bytes[at..].iter_mut().zip(word).for_each(|(byte, letter)| *byte = *letter);
    }

    /// Inserts a word, random bytes or a copy of bytes of the input.
    fn insert(&mut self, bytes: &mut Vec<u8>) {
        let (at, length) = (self.below(bytes.len() + 1), 1 + self.below(32));
        let new = match self.below(3) {
            0 => self.pick(self.dictionary).to_vec(),
            1 => (0..length).map(|_| self.below(256) as u8).collect(),
            _ => self.range(bytes),
        };
        bytes.splice(at..at, new);
    }

    fn remove(&mut self, bytes: &mut Vec<u8>) {
        let (at, length) = (self.below(bytes.len()), 1 + self.below(32));
        bytes.drain(at.min(bytes.len())..(at + length).min(bytes.len()));
    }

    /// Puts the end of another input after the beginning of this one.
    fn splice(&mut self, bytes: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let other = self.pick(pool);
        bytes.truncate(self.below(bytes.len() + 1));
        bytes.extend_from_slice(&other[self.below(other.len())..]);
    }

    fn truncate(&mut self, bytes: &mut Vec<u8>) {
        bytes.truncate(self.below(bytes.len() + 1));
    }

    fn range(&mut self, bytes: &[u8]) -> Vec<u8> {
        let from = self.below(bytes.len());
        let length = self.below(bytes.len() - from + 1);
        bytes[from..from + length].to_vec()
    }
}
