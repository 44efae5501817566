//! An order of images in which a file system reads large consecutive pieces.

use std::collections::TryReserveError;
use std::ops::Range;

use crate::random::Purpose;

/// The order for `data.shuffle = "shards"`: in each epoch the shards are permuted and cut into windows of so many, and the images
/// of each window are permuted. It is a pure function of (seed, epoch).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowedOrder {
    seed: u64,
    window_shards: usize,
    /// The images of all shards, one shard after the other.
    images: Vec<u32>,
    /// Where each shard ends in `images`.
    ends: Vec<usize>,
}

/// Shards whose images are read in the same part of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The shards, counted from 0.
    pub shards: Vec<usize>,
    /// Where their images are in the epoch's permutation.
    pub positions: Range<usize>,
}

impl WindowedOrder {
    /// Returns the order for `shards`, the indices of the images in each shard, with windows of `window_shards` shards; at least 1.
    ///
    /// # Panics
    /// If a window has no shards, or an index is 2^32 or more.
    pub fn new<I: IntoIterator<Item = usize>>(
        shards: impl IntoIterator<Item = I>,
        window_shards: usize,
        seed: u64,
    ) -> Self {
        assert!(window_shards > 0, "a window of at least one shard");
        let mut order = Self { seed, window_shards, images: Vec::new(), ends: Vec::new() };
        let number = |image| u32::try_from(image).expect("fewer than 2^32 images");
        for shard in shards {
            order.images.extend(shard.into_iter().map(number));
            order.ends.push(order.images.len());
        }
        order
    }

    /// Returns the windows of an epoch, in their order.
    pub fn windows(&self, epoch: u64) -> Vec<Window> {
        let mut shards: Vec<usize> = (0..self.ends.len()).collect();
        Purpose::ShardOrder.stream(&[self.seed, epoch]).shuffle(&mut shards);
        let mut start = 0;
        let window = |shards: &[usize]| {
            let images: usize = shards.iter().map(|&shard| self.range(shard).len()).sum();
            start += images;
            Window { shards: shards.to_vec(), positions: start - images..start }
        };
        shards.chunks(self.window_shards).map(window).collect()
    }

    /// Returns the order of all images in an epoch, for [`Sampler::global_batch`](crate::Sampler::global_batch) and
    /// [`Sampler::micro_batches`](crate::Sampler::micro_batches) in place of
    /// [`Sampler::permutation`](crate::Sampler::permutation).
    ///
    /// # Errors
    /// If there is not enough memory for eight bytes per image.
    pub fn permutation(&self, epoch: u64) -> Result<Vec<usize>, TryReserveError> {
        let mut order = Vec::new();
        order.try_reserve_exact(self.images.len())?;
        for (number, window) in self.windows(epoch).into_iter().enumerate() {
            for &shard in &window.shards {
                order.extend(self.images[self.range(shard)].iter().map(|&image| image as usize));
            }
            let mut random = Purpose::WindowOrder.stream(&[self.seed, epoch, number as u64]);
            random.shuffle(&mut order[window.positions]);
        }
        Ok(order)
    }

    fn range(&self, shard: usize) -> Range<usize> {
        let start = shard.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[shard]
    }
}
