//! `results.jsonl`: one [`TrialResult`] a line, appended under the sweep's lock. The last line of a trial and budget counts.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use regatta_run_folder::{StorageError, read_if_exists};

use crate::lock::Lock;
use crate::result::TrialResult;

/// Reads the results: for each trial and budget the last line, in the order of their first lines. A missing file has none; an
/// incomplete last line, which an interrupted write leaves, is skipped.
///
/// # Errors
/// If the file cannot be read, or another line is not a result of this version or an older one.
pub fn read(path: &Path) -> Result<Vec<TrialResult>, StorageError> {
    let content = read_if_exists(path)?.unwrap_or_default();
    let mut results: Vec<TrialResult> = Vec::new();
    for (number, line) in (1..).zip(content.split_inclusive(|&byte| byte == b'\n')) {
        let Some(text) = line.strip_suffix(b"\n") else { break };
        let result: TrialResult = serde_json::from_slice(text).map_err(|error| StorageError::Content {
            path: path.to_owned(),
            found: format!(
                "line {number} is not a result of a sweep: {error}; remove it to train that network again"
            ),
        })?;
        match results.iter_mut().find(|it| it.id == result.id && it.budget == result.budget) {
            Some(earlier) => *earlier = result,
            None => results.push(result),
        }
    }
    Ok(results)
}

/// Appends a result and syncs it. What an interrupted write left at the end is removed before, and what this one leaves on a full
/// disk after it, so that the file always consists of complete lines.
///
/// # Errors
/// If the file cannot be written; it then has its old content.
pub fn append(path: &Path, result: &TrialResult, _lock: &Lock) -> Result<(), StorageError> {
    let mut line = serde_json::to_vec(result).expect("numbers and strings always have a JSON form");
    line.push(b'\n');
    let open = OpenOptions::new().create(true).read(true).append(true).open(path);
    let mut file = open.map_err(StorageError::io("open", path))?;
    let end = complete_length(path)?;
    let failed = |source| StorageError::io("append to", path)(source);
    file.set_len(end).map_err(failed)?;
    let written = file.write_all(&line).and_then(|()| file.sync_all());
    written.map_err(|source| {
        _ = file.set_len(end);
        failed(source)
    })
}

/// Returns the length of the file's complete lines in bytes.
fn complete_length(path: &Path) -> Result<u64, StorageError> {
    let content = fs::read(path).map_err(StorageError::io("read", path))?;
    Ok(content.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last as u64 + 1))
}
