//! The ledger of this rank, stored in a mapped file.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::collective::Collective;
use super::layout::{ENTRY_WORDS, HEADER_WORDS, MAGIC, UNFINISHED, VERSION, WORDS};
use super::layout::{entry, from_host, header, place, to_bytes};
use super::mapping::Mapping;
use super::snapshot::Snapshot;
use regatta_run_folder::StorageError;
use regatta_run_folder::host_name;
use regatta_run_folder::write_unsynced;

/// The ledger of this rank, a mapped file. The file should be in node-local memory such as `/dev/shm`, where it
/// survives `kill -9` and readers see every write immediately.
///
/// Threads may share it. Only [`Ledger::enter`] can block, and only while another thread is in it.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    mapping: Mapping,
    /// Held while an entry is written: a thread that slept while the ring buffer wrapped around would otherwise write
    /// into another thread's entry.
    entering: Mutex<()>,
}

impl Ledger {
    /// Creates an empty ledger at `path` and replaces an existing file. (A process that has mapped the old file keeps it.)
    ///
    /// # Errors
    /// If the file cannot be written or mapped.
    pub fn create(path: &Path, rank: usize, world_size: usize) -> Result<Self, StorageError> {
        assert!(rank < world_size, "rank {rank} of {world_size}");
        write_unsynced(path, &to_bytes(&empty(rank, world_size)))?;
        Ok(Self { path: path.to_owned(), mapping: Mapping::open(path)?, entering: Mutex::new(()) })
    }

    /// Records that this rank is about to start a collective, and returns its sequence number.
    pub fn enter(&self, collective: Collective) -> u64 {
        let words = self.mapping.words();
        let _alone = self.entering.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = words[header::NEXT].fetch_add(1, Relaxed);
        let entry = &words[place(sequence)];
        entry[entry::SEQUENCE].store(0, Relaxed);
        // A reader that sees one of the words below also sees the 0 above.
        fence(Release);
        entry[entry::STEP].store(words[header::STEP].load(Relaxed), Relaxed);
        entry[entry::OPERATION].store(collective.operation as u64, Relaxed);
        entry[entry::ELEMENT].store(collective.element as u64, Relaxed);
        entry[entry::BYTES].store(collective.bytes, Relaxed);
        entry[entry::ENTERED].store(now_ns(), Relaxed);
        entry[entry::COMPLETED].store(UNFINISHED | sequence, Relaxed);
        entry[entry::SEQUENCE].store(sequence, Release);
        sequence
    }

    /// Records that the collective with this sequence number has completed on this rank. Does nothing if its entry has
    /// been overwritten or is complete already.
    pub fn complete(&self, sequence: u64) {
        let completed = &self.mapping.words()[place(sequence)][entry::COMPLETED];
        // Fails if the word belongs to another entry or is already a time.
        let _ = completed.compare_exchange(UNFINISHED | sequence, now_ns(), Relaxed, Relaxed);
    }

    /// Sets the training step of subsequent entries.
    pub fn set_step(&self, step: u64) {
        self.mapping.words()[header::STEP].store(step, Relaxed);
    }

    /// Records a heartbeat.
    pub fn beat(&self) {
        self.mapping.words()[header::HEARTBEAT].store(now_ns(), Relaxed);
    }

    /// Returns the current content of the ledger.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::from_words(&copy(self.mapping.words())).expect("only this process writes to its ledger")
    }

    /// Records a heartbeat and writes a copy of the ledger to `path`. The file is replaced atomically but not synced, since
    /// this is called every two seconds on a network file system.
    ///
    /// # Errors
    /// If the copy cannot be written.
    pub fn publish(&self, path: &Path) -> Result<(), StorageError> {
        self.beat();
        write_unsynced(path, &to_bytes(&copy(self.mapping.words())))
    }

    /// Deletes the mapped file at the regular end of a run. A killed process leaves its file behind.
    pub fn remove(&self) {
        // A leftover file does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

/// Publishes the ledger that a killed process left at `leftover`: copies it to `published`.
///
/// # Errors
/// If `leftover` cannot be read or `published` cannot be written.
pub fn publish_leftover(leftover: &Path, published: &Path) -> Result<(), StorageError> {
    let bytes = fs::read(leftover).map_err(StorageError::io("read", leftover))?;
    write_unsynced(published, &bytes)
}

/// Returns the words of an empty ledger of this process, with the current time as its heartbeat.
fn empty(rank: usize, world_size: usize) -> Vec<u64> {
    let mut words = vec![0; WORDS];
    words[header::MAGIC] = MAGIC;
    words[header::VERSION] = VERSION;
    words[header::RANK] = rank as u64;
    words[header::WORLD_SIZE] = world_size as u64;
    // The standard library seeds its hashers at random.
    let nonce = RandomState::new().build_hasher().finish() << 32;
    words[header::PROCESS_ID] = nonce | u64::from(std::process::id());
    words[header::HEARTBEAT] = now_ns();
    words[header::NEXT] = 1;
    words[header::HOST].copy_from_slice(&from_host(&host_name()));
    words
}

/// Copies the words. The sequence number of an entry that is being rewritten meanwhile is set to 0.
fn copy(words: &[AtomicU64]) -> Vec<u64> {
    let (header, ring) = words.split_at(HEADER_WORDS);
    let mut copy: Vec<u64> = header.iter().map(|word| word.load(Relaxed)).collect();
    for entry in ring.chunks_exact(ENTRY_WORDS) {
        let start = copy.len();
        let before = entry[entry::SEQUENCE].load(Acquire);
        copy.extend(entry.iter().map(|word| word.load(Relaxed)));
        // If one of the words above belongs to a later entry, the load below sees that it was being rewritten.
        fence(Acquire);
        let after = entry[entry::SEQUENCE].load(Relaxed);
        copy[start + entry::SEQUENCE] = if before == after { before } else { 0 };
    }
    copy
}

/// Returns the current Unix time in nanoseconds.
fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}
