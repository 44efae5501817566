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
    lines: u64,
    hasher: blake3::Hasher,
}

/// A file of metrics at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsMark {
    /// Its lines.
    pub lines: u64,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of its content, in hexadecimal.
    pub blake3: String,
}

impl MetricsMark {
    /// The first bytes of `content` where they are what was marked.
    fn prefix<'a>(&self, content: &'a [u8]) -> Option<&'a [u8]> {
        let prefix = content.get(..usize::try_from(self.bytes).ok()?)?;
        (blake3::hash(prefix).to_hex().as_str() == self.blake3).then_some(prefix)
    }
}

/// How a file of metrics that is gone on with differs from what a checkpoint says that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricsLoss {
    /// There are fewer lines.
    #[error("{missing} of its {lines} lines are missing")]
    Lines {
        /// How many fewer.
        missing: u64,
        /// How many there were.
        lines: u64,
    },
    /// There are as many lines, but not the same.
    #[error("its {0} lines are not those that were written")]
    Content(u64),
}

impl MetricsWriter {
    /// Goes on with the file of an earlier attempt, first removing what came after the checkpoint that the run is
    /// continued from: what follows the `mark` of that checkpoint. Without a mark, or where the file is not what was
    /// marked, its lines of steps after `keep_through_step` go, and a last line that a crash has torn. A file that is not
    /// there is created. Also returns what the file lacks of what was marked.
    ///
    /// # Errors
    /// If the file cannot be read or written, or holds a line that is no JSON object (and not the torn last one).
    pub fn resume(
        path: &Path,
        keep_through_step: u64,
        mark: Option<&MetricsMark>,
    ) -> Result<(Self, Option<MetricsLoss>), StorageError> {
        let content = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            outcome => outcome.map_err(StorageError::io("read", path))?,
        };
        let (kept, loss) = match mark.and_then(|mark| mark.prefix(&content)) {
            Some(prefix) => (prefix.to_vec(), None),
            None => {
                let kept = lines_through(path, &content, keep_through_step)?;
                let loss = mark.map(|mark| loss(mark.lines, count_lines(&kept)));
                (kept, loss)
            }
        };
        write_atomic(path, &kept)?;
        let file = OpenOptions::new().append(true).open(path).map_err(StorageError::io("open", path))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&kept);
        Ok((Self { path: path.to_owned(), file, lines: count_lines(&kept), hasher }, loss))
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
        self.file.write_all(line.as_bytes()).map_err(StorageError::io("append to", &self.path))?;
        self.hasher.update(line.as_bytes());
        self.lines += 1;
        Ok(())
    }

    /// Makes all lines durable, and says what the file is now.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn sync(&self) -> Result<MetricsMark, StorageError> {
        self.file.sync_all().map_err(StorageError::io("make durable", &self.path))?;
        let blake3 = self.hasher.finalize().to_hex().to_string();
        Ok(MetricsMark { lines: self.lines, bytes: self.hasher.count(), blake3 })
    }
}

/// The lines of `content` up to those of a step.
fn lines_through(path: &Path, content: &[u8], step: u64) -> Result<Vec<u8>, StorageError> {
    let mut kept = Vec::new();
    for line in read_lines(path, content)? {
        if line.object["step"].as_u64().is_none_or(|of| of <= step) {
            kept.extend_from_slice(&line.bytes);
            kept.push(b'\n');
        }
    }
    Ok(kept)
}

fn count_lines(content: &[u8]) -> u64 {
    content.iter().filter(|&&byte| byte == b'\n').count() as u64
}

fn loss(lines: u64, found: u64) -> MetricsLoss {
    match lines.saturating_sub(found) {
        0 => MetricsLoss::Content(lines),
        missing => MetricsLoss::Lines { missing, lines },
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
    let content = fs::read(path).map_err(StorageError::io("read", path))?;
    let lines = read_lines(path, &content)?.into_iter().filter(|line| line.object["kind"] == "epoch");
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

/// The lines of the file's content but a torn last one: a write that was cut short leaves it without its end.
fn read_lines(path: &Path, content: &[u8]) -> Result<Vec<Line>, StorageError> {
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
        let mut writer = MetricsWriter { path, file, lines: 0, hasher: blake3::Hasher::new() };
        let error = writer.write(&serde_json::json!({"step": 1})).unwrap_err();
        assert_eq!(
            crate::describe(&error),
            "cannot append to /dev/full: No space left on device (os error 28)"
        );
    }
}
