//! A worker thread of the loader, and what it shares with the consumer.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::queue::{Job, Outcome, Queue};
use super::{BatchRequest, LoadedBatch};
use crate::bad_image::OnBadImage;
use crate::error::DataError;
use crate::transform::Scratch;

/// What workers and consumer share.
pub(super) struct Shared<C> {
    state: Mutex<State<C>>,
    /// Images may be handed out, or the loader is closed.
    work: Condvar,
    /// A batch or a discarded image is done, or a worker has ended.
    done: Condvar,
}

struct State<C> {
    queue: Queue<C>,
    is_closed: bool,
    /// Number of workers that have not ended.
    living: usize,
}

impl<C> Default for Shared<C> {
    fn default() -> Self {
        let state = State { queue: Queue::default(), is_closed: false, living: 0 };
        Self { state: Mutex::new(state), work: Condvar::new(), done: Condvar::new() }
    }
}

impl<C> Shared<C> {
    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn with_queue<T>(&self, of: impl FnOnce(&Queue<C>) -> T) -> T {
        of(&self.lock().queue)
    }

    pub(super) fn note_start(&self) {
        self.lock().living += 1;
    }

    pub(super) fn note_end(&self) {
        self.lock().living -= 1;
        self.done.notify_all();
    }

    pub(super) fn submit(&self, request: BatchRequest<C>) {
        self.lock().queue.push(request);
        self.work.notify_all();
    }

    pub(super) fn next_batch(&self) -> Option<Result<LoadedBatch<C>, DataError>> {
        let mut state = self.lock();
        while state.queue.len() > 0 && !state.queue.front_is_done() {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.queue.pop()
    }

    pub(super) fn discard(&self, count: usize) {
        let mut state = self.lock();
        state.queue.cancel(count);
        while !state.queue.are_idle(count) {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        for _ in 0..count {
            _ = state.queue.pop();
        }
    }

    /// Lets the workers end after their current image. Returns whether all did within `limit`.
    pub(super) fn close(&self, limit: Duration) -> bool {
        let mut state = self.lock();
        state.is_closed = true;
        self.work.notify_all();
        let ended = self.done.wait_timeout_while(state, limit, |state| state.living > 0);
        ended.unwrap_or_else(PoisonError::into_inner).0.living == 0
    }

    /// Notes an image that was read, and waits for another one; `None` when the loader is closed.
    fn next_job(&self, finished: Option<(Job<C>, Outcome)>) -> Option<Job<C>> {
        let mut state = self.lock();
        if let Some((job, outcome)) = finished {
            let is_discarded_or_done = state.queue.note(job, outcome);
            if is_discarded_or_done {
                self.done.notify_all();
            }
        }
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(job) = state.queue.hand_out() {
                return Some(job);
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Reads images until the loader is closed.
pub(super) fn run<C: AsMut<[u8]>>(shared: &Shared<C>, on_bad_image: OnBadImage) {
    let mut scratch = Scratch::default();
    let mut finished = None;
    while let Some(mut job) = shared.next_job(finished.take()) {
        let outcome = read(&mut job, on_bad_image, &mut scratch);
        finished = Some((job, outcome));
    }
    shared.note_end();
}

fn read<C: AsMut<[u8]>>(job: &mut Job<C>, on_bad_image: OnBadImage, scratch: &mut Scratch) -> Outcome {
    let place = (job.epoch, job.index);
    let read = || job.images.read_or_replace(place, on_bad_image, scratch, job.chunk.as_mut());
    // Buffers are written from the start for every image, so a half-written one does no harm.
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        *scratch = Scratch::default();
        let (split, message) = (job.images.split(), message(&*panic));
        Err(DataError::WorkerPanicked { split, index: job.index, message })
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|&text| text.to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
