//! Reads the shards of the next window from start to end before their images are fetched.
//!
//! A thread reads them in pieces of a few megabytes and throws the content away: what counts is that the operating system's page
//! cache then has it, so that fetches find it there in any order. That way all ranks of a host share one copy, it is bounded by
//! two windows of shards, and the system takes the memory back when it is needed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::{io, thread};

use crate::order::{Window, WindowedOrder};

/// Bytes of one read.
const PIECE: usize = 4 << 20;
/// Sequence number of the current window once the owner is gone.
const STOPPED: u64 = u64::MAX;

/// Keeps the current window of shards and the next one in the page cache. Its thread ends when it is dropped.
#[derive(Debug)]
pub struct ReadAhead {
    order: WindowedOrder,
    state: Mutex<State>,
    /// Sequence number of the window that is read from; requests for earlier ones are too late.
    current: Arc<AtomicU64>,
    bytes_read: Arc<AtomicU64>,
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// The windows of an epoch.
    windows: Option<(u64, Vec<Window>)>,
    /// Sequence number of the first window that was not requested yet.
    next: u64,
}

#[derive(Debug)]
struct Request {
    sequence: u64,
    shards: Vec<usize>,
}

impl ReadAhead {
    /// Starts the thread `read-ahead`, which reads `shards`.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(shards: Vec<PathBuf>, order: WindowedOrder) -> io::Result<Self> {
        let (requests, receiver) = mpsc::channel();
        let (current, bytes_read) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let reader = Reader { shards, current: Arc::clone(&current), bytes_read: Arc::clone(&bytes_read) };
        let read = move || reader.read_requests(&receiver);
        let thread = thread::Builder::new().name("read-ahead".to_owned()).spawn(read)?;
        let (requests, thread) = (Some(requests), Some(thread));
        Ok(Self { order, state: Mutex::default(), current, bytes_read, requests, thread })
    }

    /// Number of bytes that were read ahead so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Says that the image at `position` of an epoch's permutation is about to be fetched: its window and the next one, which may
    /// be the first of the next epoch, are read unless they were before. Returns at once.
    pub fn advance(&self, epoch: u64, position: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.windows.as_ref().is_none_or(|&(of, _)| of != epoch) {
            state.windows = Some((epoch, self.order.windows(epoch)));
        }
        let State { windows: Some((_, windows)), next } = &mut *state else { return };
        if windows.is_empty() {
            return;
        }
        let window = windows.partition_point(|window| window.positions.end <= position);
        let sequence_of = |window: usize| epoch.saturating_mul(windows.len() as u64) + window as u64;
        self.current.store(sequence_of(window), Ordering::Relaxed);
        for wanted in window..window + 2 {
            let sequence = sequence_of(wanted);
            if sequence < *next {
                continue;
            }
            let shards = match windows.get(wanted) {
                Some(window) => window.shards.clone(),
                None => self.order.windows(epoch + 1).swap_remove(0).shards,
            };
            *next = sequence + 1;
            // The thread ends before its owner only by a panic; fetches then read without its help.
            _ = self.requests.as_ref().map(|requests| requests.send(Request { sequence, shards }));
        }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.current.store(STOPPED, Ordering::Relaxed);
        self.requests = None;
        _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What the thread has.
struct Reader {
    shards: Vec<PathBuf>,
    current: Arc<AtomicU64>,
    bytes_read: Arc<AtomicU64>,
}

impl Reader {
    fn read_requests(&self, requests: &Receiver<Request>) {
        let mut piece = vec![0; PIECE];
        for Request { sequence, shards } in requests {
            for shard in shards {
                // An error is reported by the fetch that needs the image.
                _ = self.read_through(&self.shards[shard], &mut piece, sequence);
            }
        }
    }

    /// Reads a file to its end, unless the images of a later window are fetched already.
    fn read_through(&self, path: &Path, piece: &mut [u8], sequence: u64) -> io::Result<()> {
        let (file, mut offset) = (File::open(path)?, 0);
        while self.current.load(Ordering::Relaxed) <= sequence {
            let read = file.read_at(piece, offset)? as u64;
            if read == 0 {
                return Ok(());
            }
            offset += read;
            self.bytes_read.fetch_add(read, Ordering::Relaxed);
        }
        Ok(())
    }
}
