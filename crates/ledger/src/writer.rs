//! The ledger of this rank, kept in a mapped file.

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

/// The ledger of this rank, mapped in a file. The file should lie in node-local memory such as `/dev/shm`: there it
/// survives `kill -9`, and its readers see every word at once.
///
/// Threads share it. Only [`Ledger::enter`] waits for another thread, and only while that one is in it too.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    mapping: Mapping,
    /// Held while an entry is written: a thread that was asleep for a whole round of the ring would otherwise write
    /// into another's entry.
    entering: Mutex<()>,
}

impl Ledger {
    /// Creates an empty ledger in `path`, in place of a file that is there. (Who has that one mapped keeps it.)
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
        // Whoever sees one of the words below sees the 0 above.
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

    /// Records that the collective with this sequence number is finished on this rank. Does nothing if the ring has
    /// overwritten its entry, or if it was finished already.
    pub fn complete(&self, sequence: u64) {
        let completed = &self.mapping.words()[place(sequence)][entry::COMPLETED];
        // An error says that the word is another entry's or already a time.
        let _ = completed.compare_exchange(UNFINISHED | sequence, now_ns(), Relaxed, Relaxed);
    }

    /// Sets the training step of the entries to come.
    pub fn set_step(&self, step: u64) {
        self.mapping.words()[header::STEP].store(step, Relaxed);
    }

    /// Records that this process is alive now.
    pub fn beat(&self) {
        self.mapping.words()[header::HEARTBEAT].store(now_ns(), Relaxed);
    }

    /// What the ledger says now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::from_words(&copy(self.mapping.words())).expect("a ledger that only this process writes to")
    }

    /// Beats, and puts a copy of the ledger into `path`, whole at any moment but not made durable: this is meant to
    /// be called every two seconds on a network file system.
    ///
    /// # Errors
    /// If the copy cannot be written.
    pub fn publish(&self, path: &Path) -> Result<(), StorageError> {
        self.beat();
        write_unsynced(path, &to_bytes(&copy(self.mapping.words())))
    }

    /// Deletes the mapped file, for the end of a run that needs no explanation. A killed process leaves it.
    pub fn remove(&self) {
        // A file that stays behind does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

/// Puts a copy of what a killed process left mapped in `left` into `published`, in its place.
///
/// # Errors
/// If the one cannot be read or the other not written.
pub fn publish_left(left: &Path, published: &Path) -> Result<(), StorageError> {
    let bytes = fs::read(left).map_err(StorageError::io("read", left))?;
    write_unsynced(published, &bytes)
}

/// The words of a ledger without entries, of this process, with a heartbeat now.
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

/// A copy of the words, in which the sequence number of an entry that was being rewritten is 0.
fn copy(words: &[AtomicU64]) -> Vec<u64> {
    let (header, ring) = words.split_at(HEADER_WORDS);
    let mut copy: Vec<u64> = header.iter().map(|word| word.load(Relaxed)).collect();
    for entry in ring.chunks_exact(ENTRY_WORDS) {
        let start = copy.len();
        let before = entry[entry::SEQUENCE].load(Acquire);
        copy.extend(entry.iter().map(|word| word.load(Relaxed)));
        // If one of the words above is of a later entry, the load below sees that its rewriting began.
        fence(Acquire);
        let after = entry[entry::SEQUENCE].load(Relaxed);
        copy[start + entry::SEQUENCE] = if before == after { before } else { 0 };
    }
    copy
}

/// Nanoseconds of unix time.
fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}
