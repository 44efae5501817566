//! Failure reports: a rank that fails writes a file into the run folder, for the launcher and for people. Exit codes are not
//! enough: srun does not pass on each rank's own, and a killed rank has none.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::atomic::write_unsynced;
use crate::error::StorageError;
use crate::exit_code::ExitCode;
use crate::folder::RunFolder;
use crate::host::host_name;
use crate::regular::read_regular;
use crate::utc::utc;

/// The failure of one rank in one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Number of the attempt.
    pub attempt: u64,
    /// The rank.
    pub rank: usize,
    /// Name of its host.
    pub host: String,
    /// Its process id on that host.
    pub process_id: u32,
    /// Time of the failure, UTC, RFC 3339.
    pub failed_at: String,
    /// Time of the failure in milliseconds of Unix time, by its host's clock, to order the failures of ranks.
    pub failed_at_ms: u64,
    /// The exit code that it ended with.
    pub exit_code: i32,
    /// The error and its causes, one line.
    pub error: String,
}

impl Failure {
    /// Returns the report of a failure of this process, now.
    pub fn here(attempt: u64, rank: usize, exit_code: ExitCode, error: &str) -> Self {
        let now = SystemTime::now();
        Self {
            attempt,
            rank,
            host: host_name(),
            process_id: std::process::id(),
            failed_at: utc(now),
            failed_at_ms: now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
            exit_code: exit_code.code(),
            error: error.to_owned(),
        }
    }

    /// Writes it into the run folder atomically, in place of the rank's report of an earlier attempt.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn leave(&self, folder: &RunFolder) -> Result<(), StorageError> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("numbers and strings always have a JSON form");
        bytes.push(b'\n');
        write_unsynced(&folder.failure(self.rank), &bytes)
    }

    /// Returns the reports of this attempt, the earliest failure first. Files that cannot be read are skipped, since the other
    /// reports are still useful.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn of_attempt(folder: &RunFolder, attempt: u64) -> Result<Vec<Self>, StorageError> {
        let ranks = folder.ranks();
        let mut failures = Vec::new();
        for entry in fs::read_dir(&ranks).map_err(StorageError::io("list", &ranks))? {
            let path = entry.map_err(StorageError::io("list", &ranks))?.path();
            if path.extension().is_some_and(|ending| ending == "error") {
                let failure =
                    read_regular(&path).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
                failures.extend(failure.filter(|failure| failure.attempt == attempt));
            }
        }
        failures.sort_by_key(|failure| (failure.failed_at_ms, failure.rank));
        Ok(failures)
    }
}
