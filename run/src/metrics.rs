//! `metrics.jsonl`: one flat JSON object a line, appended as the run goes and cut when it resumes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::atomic::write_atomic;
use crate::error::StorageError;

/// Appends records to a file of metrics. Every line reaches the operating system at once and whole.
#[derive(Debug)]
pub struct MetricsWriter {
    path: PathBuf,
    file: File,
}

impl MetricsWriter {
    /// Starts a new file.
    ///
    /// # Errors
    /// If it cannot be created, above all if it is there already.
    pub fn create(path: &Path) -> Result<Self, StorageError> {
        let file = OpenOptions::new().append(true).create_new(true).open(path);
        Ok(Self { path: path.to_owned(), file: file.map_err(StorageError::io("create", path))? })
    }

    /// Goes on with the file of an earlier attempt, first removing its lines of steps after `keep_through_step`
    /// and a last line that a crash has torn. A file that is not there is created.
    ///
    /// # Errors
    /// If the file cannot be read or written, or holds a line that is no JSON object (and not the torn last one).
    pub fn resume(path: &Path, keep_through_step: u64) -> Result<Self, StorageError> {
        let mut kept = Vec::new();
        for line in read_lines(path, true)? {
            if line.object["step"].as_u64().is_none_or(|step| step <= keep_through_step) {
                kept.extend_from_slice(&line.bytes);
                kept.push(b'\n');
            }
        }
        write_atomic(path, &kept)?;
        let file = OpenOptions::new().append(true).open(path).map_err(StorageError::io("open", path))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends one record. Numbers that are not finite become `null`.
    ///
    /// # Errors
    /// If the file cannot be written: disk full, for one.
    ///
    /// # Panics
    /// If the record is not a flat JSON object.
    pub fn write<T: Serialize>(&mut self, record: &T) -> Result<(), StorageError> {
        let mut line = serde_json::to_string(record).expect("a record that has a JSON form");
        assert!(is_flat(&line), "a record of metrics is a flat object, not {line}");
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(StorageError::io("append to", &self.path))
    }
}

fn is_flat(json: &str) -> bool {
    let nested = |value: &Value| value.is_object() || value.is_array();
    let object: Result<serde_json::Map<String, Value>, _> = serde_json::from_str(json);
    object.is_ok_and(|object| !object.values().any(nested))
}

/// What the curves need of a record of kind `epoch`. Other fields are ignored, absent or `null` ones are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub struct EpochRow {
    /// Number of the epoch.
    pub epoch: u64,
    /// Steps done at its end.
    pub step: u64,
    /// Mean loss over the epoch's training images.
    #[serde(default)]
    pub train_loss: Option<f64>,
    /// Fraction of the epoch's training images whose first guess was right, as each step found the network.
    #[serde(default)]
    pub train_top1: Option<f64>,
    /// Mean loss over the validation images.
    #[serde(default)]
    pub val_loss: Option<f64>,
    /// Fraction of the validation images whose first guess is right.
    #[serde(default)]
    pub val_top1: Option<f64>,
    /// Fraction of the validation images with a right guess among the first five.
    #[serde(default)]
    pub val_top5: Option<f64>,
}

/// Reads the records of kind `epoch`, in the file's order. A torn last line is passed over, a missing file is
/// an error.
///
/// # Errors
/// If the file cannot be read or a line is not what [`MetricsWriter`] writes.
pub fn read_epochs(path: &Path) -> Result<Vec<EpochRow>, StorageError> {
    let lines = read_lines(path, false)?.into_iter().filter(|line| line.object["kind"] == "epoch");
    let row = |line: Line| {
        serde_json::from_value(line.object).map_err(|error| StorageError::Content {
            path: path.to_owned(),
            found: format!("line {} is not the record of an epoch: {error}", line.number),
        })
    };
    lines.map(row).collect()
}

/// A line that holds a JSON object.
struct Line {
    /// Counted from 1.
    number: usize,
    bytes: Vec<u8>,
    object: Value,
}

/// The lines of the file but a torn last one: a write that was cut short leaves it without its end.
fn read_lines(path: &Path, may_be_missing: bool) -> Result<Vec<Line>, StorageError> {
    let content = match fs::read(path) {
        Err(error) if may_be_missing && error.kind() == io::ErrorKind::NotFound => Vec::new(),
        outcome => outcome.map_err(StorageError::io("read", path))?,
    };
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(content.split_inclusive(|&byte| byte == b'\n')) {
        let (bytes, complete) = line.strip_suffix(b"\n").map_or((line, false), |bytes| (bytes, true));
        match serde_json::from_slice::<Value>(bytes) {
            Ok(object) if object.is_object() => lines.push(Line { number, bytes: bytes.to_vec(), object }),
            _ if !complete => {}
            _ => {
                let found = format!("line {number} is not a JSON object; remove it to go on");
                return Err(StorageError::Content { path: path.to_owned(), found });
            }
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named() {
        let path = PathBuf::from("/dev/full");
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        let error = MetricsWriter { path, file }.write(&serde_json::json!({"step": 1})).unwrap_err();
        assert_eq!(error.to_string(), "cannot append to /dev/full: No space left on device (os error 28)");
    }
}
