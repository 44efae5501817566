//! Attempts: every start of a run takes the next number, and the newest attempt owns the run folder.
//!
//! A number is taken by creating its file exclusively. File locks would not work, since some file systems do not enforce
//! them across hosts.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::atomic::{sync_folder, write_atomic};
use crate::error::StorageError;
use crate::exit_code::ExitCode;
use crate::folder::RunFolder;
use crate::host::host_name;
use crate::regular::read_regular;
use crate::utc::utc;

/// Who started an attempt, when, where and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptStart {
    /// Time of the start, UTC, RFC 3339.
    pub started_at: String,
    /// Name of the user.
    pub user: String,
    /// Name of rank 0's host.
    pub host: String,
    /// Rank 0's process id on that host.
    pub process_id: u32,
    /// Number of ranks.
    pub world_size: usize,
    /// The command line, one entry per argument.
    pub command_line: Vec<String>,
    /// The step that it resumes from; 0 for a new run. None in the files of versions that did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_step: Option<u64>,
}

impl AttemptStart {
    /// Describes a start by this process, now, that resumes from step `from_step`.
    pub fn here(world_size: usize, command_line: Vec<String>, from_step: u64) -> Self {
        let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
        Self {
            started_at: utc(SystemTime::now()),
            user: user.unwrap_or_else(|_| "unknown".to_owned()),
            host: host_name(),
            process_id: std::process::id(),
            world_size,
            command_line,
            from_step: Some(from_step),
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEnd {
    /// Time of the end, UTC, RFC 3339.
    pub ended_at: String,
    /// Description of the end.
    pub end: String,
    /// The exit code.
    pub exit_code: i32,
}

/// The content of an attempt's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Its number, counted from 1.
    pub number: u64,
    /// Its start.
    #[serde(flatten)]
    pub start: AttemptStart,
    /// The step of the last checkpoint that it saved, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_step: Option<u64>,
    /// Its end; none while it runs, or if it was killed.
    pub end: Option<AttemptEnd>,
}

impl AttemptRecord {
    /// Reads the file of an attempt.
    ///
    /// # Errors
    /// If it cannot be read, or was truncated by a crash at the attempt's start.
    pub fn read(path: &Path) -> Result<Self, StorageError> {
        let bytes = read_regular(path).map_err(StorageError::io("read", path))?;
        serde_json::from_slice(&bytes).map_err(|error| StorageError::Content {
            path: path.to_owned(),
            found: format!("not a record of an attempt: {error}"),
        })
    }
}

impl AttemptRecord {
    /// Records the end of an attempt as observed from outside, if it has not recorded its own: a killed process cannot.
    ///
    /// # Errors
    /// If the attempt's file cannot be read or written.
    pub fn end_as_seen(
        folder: &RunFolder,
        number: u64,
        end: &str,
        exit_code: i32,
    ) -> Result<(), StorageError> {
        let path = folder.attempt(number);
        let mut record = Self::read(&path)?;
        if record.end.is_none() {
            record.end = Some(AttemptEnd::now(end, exit_code));
            write_end(&path, &record)?;
        }
        Ok(())
    }
}

impl AttemptEnd {
    fn now(end: &str, exit_code: i32) -> Self {
        Self { ended_at: utc(SystemTime::now()), end: end.to_owned(), exit_code }
    }
}

/// This process's attempt at a run.
#[derive(Debug)]
pub struct Attempt {
    folder: RunFolder,
    record: AttemptRecord,
}

impl Attempt {
    /// Takes the next number, which makes this attempt the owner of the folder. Creates the folder if needed.
    ///
    /// # Errors
    /// If the attempt's file cannot be written.
    pub fn start(folder: &RunFolder, start: &AttemptStart) -> Result<Self, StorageError> {
        folder.create()?;
        let mut number = Self::newest(folder)?.unwrap_or(0) + 1;
        loop {
            let record = AttemptRecord { number, start: start.clone(), saved_step: None, end: None };
            let path = folder.attempt(number);
            match create_new(&path, &to_json(&record)) {
                Ok(()) => {
                    sync_folder(&folder.attempts())?;
                    return Ok(Self { folder: folder.clone(), record });
                }
                // Another start took the number first, or the listing came from a stale cache.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => return Err(StorageError::io("create", path)(source)),
            }
        }
    }

    /// Returns the number of the newest attempt at a run, if there is one.
    ///
    /// # Errors
    /// If the folder of attempts cannot be read.
    pub fn newest(folder: &RunFolder) -> Result<Option<u64>, StorageError> {
        Ok(Self::numbers(folder)?.pop())
    }

    /// Returns the numbers of all attempts at a run, in order.
    ///
    /// # Errors
    /// If the folder of attempts cannot be read.
    pub fn numbers(folder: &RunFolder) -> Result<Vec<u64>, StorageError> {
        let attempts = folder.attempts();
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&attempts).map_err(StorageError::io("list", &attempts))? {
            let name = entry.map_err(StorageError::io("list", &attempts))?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Returns the step of the last checkpoint that any attempt at a run recorded as saved. Attempts whose files cannot be read
    /// are skipped: a crash at an attempt's start may leave such a file.
    ///
    /// # Errors
    /// If the folder of attempts exists and cannot be read.
    pub fn last_saved_step(folder: &RunFolder) -> Result<Option<u64>, StorageError> {
        if !folder.attempts().exists() {
            return Ok(None);
        }
        let numbers = Self::numbers(folder)?;
        let saved = |&number: &u64| AttemptRecord::read(&folder.attempt(number)).ok()?.saved_step;
        Ok(numbers.iter().rev().find_map(saved))
    }

    /// Returns its number, counted from 1.
    pub fn number(&self) -> u64 {
        self.record.number
    }

    /// Returns whether it still owns the folder. If not, it must no longer write there.
    ///
    /// # Errors
    /// If the folder of attempts cannot be read.
    pub fn is_newest(&self) -> Result<bool, StorageError> {
        Ok(Self::newest(&self.folder)? == Some(self.number()))
    }

    /// Records that the checkpoint of `step` was saved.
    ///
    /// # Errors
    /// If the attempt's file cannot be written.
    pub fn note_saved(&mut self, step: u64) -> Result<(), StorageError> {
        self.record.saved_step = Some(step);
        write_atomic(self.folder.attempt(self.number()), &to_json(&self.record))
    }

    /// Records the end, as a description and an exit code.
    ///
    /// # Errors
    /// If the attempt's file cannot be written.
    pub fn finish(mut self, end: &str, exit_code: ExitCode) -> Result<(), StorageError> {
        self.record.end = Some(AttemptEnd::now(end, exit_code.code()));
        write_end(&self.folder.attempt(self.number()), &self.record)
    }
}

/// Creates a file with this content, exclusively. A full disk may have room for the name but not for the content; the file is
/// then removed, so that it does not count as an attempt.
fn create_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).inspect_err(|_| {
        _ = fs::remove_file(path);
    })
}

/// Replaces the record that has no end yet. On a full disk it is overwritten in place, within the block that it occupies.
fn write_end(path: &Path, record: &AttemptRecord) -> Result<(), StorageError> {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    match write_atomic(path, &to_json(record)) {
        Err(StorageError::Io { source, .. }) if full.contains(&source.kind()) => {
            let file = OpenOptions::new().write(true).open(path).map_err(StorageError::io("write", path))?;
            file.write_all_at(&to_json(record), 0)
                .and_then(|()| file.sync_all())
                .map_err(StorageError::io("write", path))
        }
        outcome => outcome,
    }
}

fn to_json(record: &AttemptRecord) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(record).expect("numbers and strings always have a JSON form");
    bytes.push(b'\n');
    bytes
}
