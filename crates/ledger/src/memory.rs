//! The ledgers in the memory of this host. They are current up to the last moment of their process and outlive it, whereas a
//! published copy may be two seconds older.

use std::fs;
use std::path::Path;

use super::snapshot::Snapshot;
use regatta_run_folder::host_name;

/// The folder in which ranks keep their ledgers.
pub const LOCAL_MEMORY: &str = "/dev/shm";

/// Returns the file name of a process's ledger in [`LOCAL_MEMORY`]. `random` distinguishes processes with the same ID, since
/// containers may share the memory.
pub fn name_in_memory(process: u32, random: u32, rank: usize) -> String {
    format!("regatta-{process}-{random:08x}-rank-{rank:04}.ledger")
}

impl Snapshot {
    /// Reads the ledger of the same process from the folder `memory`, if the process ran on this host and the ledger exists.
    pub fn in_memory(&self, memory: &Path) -> Option<Self> {
        if self.host != host_name() {
            return None;
        }
        let (begin, end) =
            (format!("regatta-{}-", self.process_id), format!("-rank-{:04}.ledger", self.rank));
        let is_of_process = |name: &str| name.starts_with(&begin) && name.ends_with(&end);
        let entries = fs::read_dir(memory).ok()?.flatten();
        let paths = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_of_process));
        // Process IDs repeat after a reboot and between containers; the random number does not.
        let is_same = |found: &Self| (found.process_id, found.nonce) == (self.process_id, self.nonce);
        paths.filter_map(|entry| Self::read(&entry.path()).ok()).find(is_same)
    }
}
