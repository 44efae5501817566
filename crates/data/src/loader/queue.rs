//! The batches of a loader, oldest first, and which of their images are handed out and read.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{BatchRequest, LoadedBatch};
use crate::bad_image::BadImage;
use crate::error::DataError;
use crate::images::{Images, Labelled};

/// An image to be read.
pub(super) struct Job<C> {
    /// Number of its batch, counted from the loader's first.
    batch: u64,
    /// Position in the batch.
    position: usize,
    pub(super) images: Arc<Images>,
    pub(super) epoch: u64,
    pub(super) index: usize,
    pub(super) chunk: C,
}

/// The result of reading an image.
pub(super) type Outcome = Result<(Labelled, Vec<BadImage>), DataError>;

pub(super) struct Queue<C> {
    batches: VecDeque<Batch<C>>,
    /// Number of the oldest batch, counted from the loader's first.
    first: u64,
}

struct Batch<C> {
    images: Arc<Images>,
    epoch: u64,
    indices: Vec<usize>,
    /// Empty while a worker writes to the chunk.
    chunks: Vec<Option<C>>,
    labelled: Vec<Labelled>,
    replaced: u64,
    bad: Vec<BadImage>,
    /// Number of images handed out; they are handed out in order.
    handed_out: usize,
    /// Number of those that were read.
    read: usize,
    /// No more images are handed out, since one failed or the batch is no longer wanted.
    is_cancelled: bool,
    /// The failure of the first image, by position.
    failure: Option<(usize, DataError)>,
}

impl<C> Default for Queue<C> {
    fn default() -> Self {
        Self { batches: VecDeque::new(), first: 0 }
    }
}

impl<C> Queue<C> {
    pub(super) fn len(&self) -> usize {
        self.batches.len()
    }

    pub(super) fn push(&mut self, request: BatchRequest<C>) {
        let BatchRequest { images, epoch, indices, chunks } = request;
        self.batches.push_back(Batch {
            images,
            epoch,
            labelled: vec![Labelled::default(); indices.len()],
            indices,
            chunks: chunks.into_iter().map(Some).collect(),
            replaced: 0,
            bad: Vec::new(),
            handed_out: 0,
            read: 0,
            is_cancelled: false,
            failure: None,
        });
    }

    /// Hands out the next image of the oldest batch that has one.
    pub(super) fn hand_out(&mut self) -> Option<Job<C>> {
        let (number, batch) = (self.first..).zip(&mut self.batches).find(|(_, batch)| batch.has_work())?;
        let position = batch.handed_out;
        batch.handed_out += 1;
        Some(Job {
            batch: number,
            position,
            images: Arc::clone(&batch.images),
            epoch: batch.epoch,
            index: batch.indices[position],
            chunk: batch.chunks[position].take()?,
        })
    }

    /// Notes that an image was read. Returns whether its batch is done.
    pub(super) fn note(&mut self, job: Job<C>, outcome: Outcome) -> bool {
        let place = job.batch.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let Some(batch) = place.and_then(|place| self.batches.get_mut(place)) else { return false };
        batch.read += 1;
        batch.chunks[job.position] = Some(job.chunk);
        match outcome {
            Ok((labelled, bad)) => {
                batch.labelled[job.position] = labelled;
                batch.replaced += u64::from(!bad.is_empty());
                batch.bad.extend(bad);
            }
            Err(error) => batch.fail(job.position, error),
        }
        batch.is_done()
    }

    pub(super) fn front_is_done(&self) -> bool {
        self.batches.front().is_some_and(Batch::is_done)
    }

    /// Removes the oldest batch, which must be done.
    pub(super) fn pop(&mut self) -> Option<Result<LoadedBatch<C>, DataError>> {
        let batch = self.batches.pop_front()?;
        self.first += 1;
        let Batch { labelled, chunks, replaced, bad, failure, .. } = batch;
        let loaded = LoadedBatch { labelled, chunks: chunks.into_iter().flatten().collect(), replaced, bad };
        Some(failure.map_or(Ok(loaded), |(_, error)| Err(error)))
    }

    /// Hands out no more images of the `count` oldest batches.
    pub(super) fn cancel(&mut self, count: usize) {
        self.batches.iter_mut().take(count).for_each(|batch| batch.is_cancelled = true);
    }

    /// Returns whether no image of the `count` oldest batches is being read.
    pub(super) fn are_idle(&self, count: usize) -> bool {
        self.batches.iter().take(count).all(|batch| batch.read == batch.handed_out)
    }
}

impl<C> Batch<C> {
    fn has_work(&self) -> bool {
        !self.is_cancelled && self.handed_out < self.indices.len()
    }

    fn is_done(&self) -> bool {
        self.read == self.handed_out && !self.has_work()
    }

    /// Keeps the failure of the first image. Those before it were handed out already, so it does not depend on the threads.
    fn fail(&mut self, position: usize, error: DataError) {
        self.is_cancelled = true;
        if self.failure.as_ref().is_none_or(|&(first, _)| position < first) {
            self.failure = Some((position, error));
        }
    }
}
