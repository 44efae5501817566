//! Reads the images of batches on worker threads, several batches ahead of their consumer, and returns the batches in order.
//!
//! Work is handed out image by image, so that one slow file does not hold up a batch. Pixels are written straight into chunks
//! of memory that the consumer provides.

mod queue;
mod worker;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::bad_image::{BadImage, OnBadImage};
use crate::error::DataError;
use crate::images::{Images, Labelled};
use worker::Shared;

/// Time that workers have to finish their current image when the loader is dropped. A worker that hangs in a read, for example
/// on a network file system, is then left behind.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// Settings of a loader.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoaderSettings {
    /// Number of worker threads, at least 1.
    pub workers: usize,
    /// Number of batches that are loaded ahead, at least 1.
    pub prefetch_batches: usize,
    /// What to do with an image that cannot be read.
    pub on_bad_image: OnBadImage,
}

impl Default for LoaderSettings {
    fn default() -> Self {
        Self { workers: 1, prefetch_batches: 4, on_bad_image: OnBadImage::default() }
    }
}

/// Returns the number of workers of a rank with so many cores, where the recipe sets none: beside a GPU every core but the one
/// that launches kernels, on a CPU one.
pub fn auto_workers(cores: usize, has_gpu: bool) -> usize {
    if has_gpu { cores.saturating_sub(1).max(1) } else { 1 }
}

/// A batch to be loaded.
pub struct BatchRequest<C> {
    /// Where its images come from.
    pub images: Arc<Images>,
    /// The epoch, which decides the augmentation.
    pub epoch: u64,
    /// Its images.
    pub indices: Vec<usize>,
    /// Memory for their pixels, one chunk for each image.
    pub chunks: Vec<C>,
}

/// A loaded batch.
#[derive(Debug)]
pub struct LoadedBatch<C> {
    /// Labels and draws, in the order of the indices.
    pub labelled: Vec<Labelled>,
    /// The chunks, with the pixels.
    pub chunks: Vec<C>,
    /// Number of images that were replaced, since they could not be read.
    pub replaced: u64,
    /// The images that could not be read.
    pub bad: Vec<BadImage>,
}

/// Worker threads and the batches that they load. `C` is memory for the pixels of one image. The caller bounds the memory by
/// the number of batches that it submits.
pub struct Loader<C> {
    shared: Arc<Shared<C>>,
    workers: Vec<JoinHandle<()>>,
}

impl<C: AsMut<[u8]> + Send + 'static> Loader<C> {
    /// Starts the workers, named `loader-0` and so on.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn new(settings: LoaderSettings) -> io::Result<Self> {
        let mut loader = Self { shared: Arc::default(), workers: Vec::new() };
        for number in 0..settings.workers.max(1) {
            let shared = Arc::clone(&loader.shared);
            shared.note_start();
            let started = thread::Builder::new()
                .name(format!("loader-{number}"))
                .spawn(move || worker::run(&shared, settings.on_bad_image));
            loader.workers.push(started.inspect_err(|_| loader.shared.note_end())?);
        }
        Ok(loader)
    }

    /// Adds a batch to the end of the queue.
    ///
    /// # Panics
    /// If there is not one chunk for each image.
    pub fn submit(&mut self, request: BatchRequest<C>) {
        assert_eq!(request.indices.len(), request.chunks.len(), "one chunk for each image");
        self.shared.submit(request);
    }

    /// Returns the number of batches submitted and not yet returned.
    pub fn pending(&self) -> usize {
        self.shared.with_queue(|queue| queue.len())
    }

    /// Returns whether the oldest batch is loaded or has failed, so that [`next_batch`](Self::next_batch) does not wait.
    pub fn is_ready(&self) -> bool {
        self.shared.with_queue(|queue| queue.front_is_done())
    }

    /// Waits for the oldest batch and returns it; `None` if none was submitted. The chunks of a batch that failed are dropped.
    ///
    /// # Errors
    /// The first image of the batch that cannot be read, or at which a worker panicked.
    pub fn next_batch(&mut self) -> Result<Option<LoadedBatch<C>>, DataError> {
        self.shared.next_batch().transpose()
    }

    /// Drops the `count` oldest batches. Waits for images that are being read, so that no chunk is in use afterwards.
    pub fn discard(&mut self, count: usize) {
        self.shared.discard(count);
    }
}

impl<C> Drop for Loader<C> {
    fn drop(&mut self) {
        if self.shared.close(SHUTDOWN_LIMIT) {
            for worker in self.workers.drain(..) {
                // A worker catches the panics of the images it reads.
                _ = worker.join();
            }
        }
    }
}
