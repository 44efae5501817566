//! Ledgers in the memory of this host. They are exact to the last moment of their process, and outlive it; a published copy may be
//! two seconds older.

use std::fs;
use std::path::Path;

use super::snapshot::Snapshot;
use regatta_run_folder::host_name;

/// Where ranks keep them.
pub const LOCAL_MEMORY: &str = "/dev/shm";

/// The file of a process's ledger there. `random` tells processes of one number apart: containers may share the memory.
pub fn name_in_memory(process: u32, random: u32, rank: usize) -> String {
    format!("regatta-{process}-{random:08x}-rank-{rank:04}.ledger")
}

impl Snapshot {
    /// What this same process's ledger says in `memory`, if it ran on this host and its ledger is there.
    pub fn in_memory(&self, memory: &Path) -> Option<Self> {
        if self.host != host_name() {
            return None;
        }
        let (begin, end) =
            (format!("regatta-{}-", self.process_id), format!("-rank-{:04}.ledger", self.rank));
        let is_of_process = |name: &str| name.starts_with(&begin) && name.ends_with(&end);
        let entries = fs::read_dir(memory).ok()?.flatten();
        let paths = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_of_process));
        // Ids repeat after a restart of the host, and between containers; the random number does not.
        let is_same = |found: &Self| (found.process_id, found.nonce) == (self.process_id, self.nonce);
        paths.filter_map(|entry| Self::read(&entry.path()).ok()).find(is_same)
    }
}
