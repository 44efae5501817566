//! The content of a ledger at one moment, read from its mapped file or from the published copy.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::collective::{Collective, Element, Entry, Operation};
use super::layout::{BYTES, ENTRY_WORDS, HEADER_WORDS, MAGIC, UNFINISHED, VERSION};
use super::layout::{entry, header, to_host, to_words};
use regatta_run_folder::RunFolder;
use regatta_run_folder::{StorageError, open_regular, utc};

/// Longest silence of a live rank; ranks publish every two seconds.
pub const ALIVE: Duration = Duration::from_secs(10);

/// Returns the time since the last sign of life of a run: a heartbeat in one of its ledgers or a line of its metrics. If there is none,
/// the longest duration.
pub fn silent_for<'a>(folder: &RunFolder, ledgers: impl Iterator<Item = &'a Snapshot>) -> Duration {
    let metrics = std::fs::metadata(folder.metrics()).and_then(|it| it.modified()).ok();
    let since_metrics = metrics.and_then(|at| SystemTime::now().duration_since(at).ok());
    ledgers.map(Snapshot::silent_for).chain(since_metrics).min().unwrap_or(Duration::MAX)
}

/// The content of a ledger at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Rank that wrote the ledger.
    pub rank: usize,
    /// Number of ranks in the run.
    pub world_size: usize,
    /// Host name of the rank.
    pub host: String,
    /// Process ID of the rank on its host.
    pub process_id: u32,
    /// Random number of the process: process IDs repeat between containers and after a reboot.
    pub nonce: u32,
    /// Current training step of the rank.
    pub step: u64,
    /// Time of the last heartbeat, in nanoseconds of Unix time.
    pub heartbeat_ns: u64,
    /// The collectives that the rank entered last, at most 1024, by ascending sequence number.
    pub entries: Vec<Entry>,
}

impl Snapshot {
    /// Reads a mapped file, even while its rank writes to it, or a published copy.
    ///
    /// # Errors
    /// If the file cannot be read, is not a ledger, has another version or contains invalid entries.
    pub fn read(path: &Path) -> Result<Self, StorageError> {
        let mut file = open_regular(path).map_err(StorageError::io("read", path))?;
        let content = |found| StorageError::Content { path: path.to_owned(), found };
        let mut pass = || {
            let bytes = read_from_start(&mut file).map_err(StorageError::io("read", path))?;
            check(&bytes).map_err(content)?;
            Ok(to_words(&bytes))
        };
        // Not mapped: a copy on a network file system can vanish, which would kill a process that has mapped it.
        let (before, words, after) = (pass()?, pass()?, pass()?);
        Self::from_words(&steady(&before, words, &after)).map_err(content)
    }

    /// Reads the published ledgers of a run, by rank. Unreadable ones are skipped: a diagnosis uses whatever exists.
    pub fn of_run(folder: &RunFolder) -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir(folder.ranks()) else { return Vec::new() };
        let ledgers = entries.flatten().map(|entry| entry.path());
        let ledgers = ledgers.filter(|path| path.extension().is_some_and(|ending| ending == "ledger"));
        let mut snapshots: Vec<_> = ledgers.filter_map(|path| Self::read(&path).ok()).collect();
        snapshots.sort_by_key(|snapshot| snapshot.rank);
        snapshots
    }

    /// Reads the published ledgers of the attempt at a run that started at `started_at` (UTC, RFC 3339), by rank. Those of earlier
    /// attempts remain in the folder until they are overwritten.
    pub fn of_attempt(folder: &RunFolder, started_at: &str) -> Vec<Self> {
        let mut snapshots = Self::of_run(folder);
        snapshots.retain(|snapshot| *snapshot.heartbeat_at() >= *started_at);
        snapshots
    }

    /// Returns the time of the last heartbeat in UTC, formatted as in RFC 3339.
    pub fn heartbeat_at(&self) -> String {
        utc(UNIX_EPOCH + Duration::from_nanos(self.heartbeat_ns))
    }

    /// Decodes the words of a file.
    ///
    /// # Errors
    /// A description of the first invalid word.
    pub(super) fn from_words(words: &[u64]) -> Result<Self, String> {
        let (header, ring) = words.split_at(HEADER_WORDS);
        let (rank, world_size) = (header[header::RANK], header[header::WORLD_SIZE]);
        if rank >= world_size {
            return Err(format!("the ledger claims to be of rank {rank} in a world of {world_size} ranks"));
        }
        let written = ring.chunks_exact(ENTRY_WORDS).filter(|words| words[entry::SEQUENCE] != 0);
        let mut entries = written.map(to_entry).collect::<Result<Vec<_>, _>>()?;
        entries.sort_unstable_by_key(|entry| entry.sequence);
        Ok(Self {
            rank: rank as usize,
            world_size: world_size as usize,
            host: to_host(&header[header::HOST]),
            process_id: header[header::PROCESS_ID] as u32,
            nonce: (header[header::PROCESS_ID] >> 32) as u32,
            step: header[header::STEP],
            heartbeat_ns: header[header::HEARTBEAT],
            entries,
        })
    }

    /// Returns the time since the last heartbeat, by this host's clock.
    pub fn silent_for(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(Duration::from_nanos(self.heartbeat_ns))
    }

    /// The collective that the rank entered last.
    pub fn last_entered(&self) -> Option<&Entry> {
        self.entries.last()
    }

    /// The first of the collectives that are not finished on this rank.
    pub fn oldest_unfinished(&self) -> Option<&Entry> {
        self.unfinished().next()
    }

    /// The collectives that are not finished on this rank, by ascending sequence number.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.completed_ns.is_none())
    }
}

/// Reads a file from its start, up to one byte more than a ledger has.
fn read_from_start(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(BYTES + 1);
    file.rewind()?;
    file.take(BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Checks that a file is a ledger of this version.
///
/// # Errors
/// A description of what the file is instead.
fn check(bytes: &[u8]) -> Result<(), String> {
    let words = to_words(&bytes[..bytes.len().min(HEADER_WORDS * size_of::<u64>())]);
    match (words.get(header::MAGIC), words.get(header::VERSION)) {
        (Some(&MAGIC), Some(&VERSION)) if bytes.len() == BYTES => Ok(()),
        (Some(&MAGIC), Some(&VERSION)) if bytes.len() > BYTES => {
            Err(format!("longer than the {BYTES} bytes of a ledger"))
        }
        (Some(&MAGIC), Some(&VERSION)) => Err(format!("truncated ledger: {} of {BYTES} bytes", bytes.len())),
        (Some(&MAGIC), Some(version)) => {
            Err(format!("ledger of version {version}, but this program reads version {VERSION}"))
        }
        (Some(magic), _) => {
            Err(format!("not a ledger: it begins with \"{}\"", magic.to_le_bytes().escape_ascii()))
        }
        (None, _) => Err(format!("not a ledger: {} bytes long", bytes.len())),
    }
}

/// Returns the second of three readings of a file. The sequence number of an entry that was being rewritten, so that it
/// changed between the readings, is set to 0.
fn steady(before: &[u64], mut words: Vec<u64>, after: &[u64]) -> Vec<u64> {
    for start in (HEADER_WORDS..words.len()).step_by(ENTRY_WORDS) {
        let at = start + entry::SEQUENCE;
        if words[at] != before[at] || words[at] != after[at] {
            words[at] = 0;
        }
    }
    words
}

fn to_entry(words: &[u64]) -> Result<Entry, String> {
    let sequence = words[entry::SEQUENCE];
    let unknown = |what, number| format!("collective {sequence} has the unknown {what} {number}");
    let (operation, element) = (words[entry::OPERATION], words[entry::ELEMENT]);
    let completed = words[entry::COMPLETED];
    Ok(Entry {
        sequence,
        step: words[entry::STEP],
        collective: Collective {
            operation: Operation::from_number(operation).ok_or_else(|| unknown("operation", operation))?,
            element: Element::from_number(element).ok_or_else(|| unknown("element", element))?,
            bytes: words[entry::BYTES],
        },
        entered_ns: words[entry::ENTERED],
        completed_ns: (completed < UNFINISHED).then_some(completed),
    })
}

#[cfg(test)]
mod tests {
    use super::super::layout::{WORDS, place};
    use super::*;

    #[test]
    fn entries_rewritten_between_the_passes_are_left_out() {
        let at = |sequence| place(sequence).start + entry::SEQUENCE;
        let file = |sequences: [u64; 3]| {
            let mut words = vec![0; WORDS];
            sequences.iter().zip(1..).for_each(|(sequence, place)| words[at(place)] = *sequence);
            words
        };
        // 1 is unchanged; 1026 replaced 2 after the second reading, and 1027 replaced 3 before it.
        let steady = steady(&file([1, 2, 3]), file([1, 2, 1027]), &file([1, 1026, 1027]));
        assert_eq!(steady, file([1, 0, 0]));
    }
}
