//! `metrics.jsonl`: one [`Record`] per line, appended during the run and truncated on resume.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::atomic::write_atomic;
use crate::error::StorageError;
use crate::record::Record;
use crate::regular::{open_regular, read_if_exists, read_regular};
use crate::schema::Schema;

/// Appends records to a metrics file. Every line is passed to the operating system immediately, in a single write.
#[derive(Debug)]
pub struct MetricsWriter {
    path: PathBuf,
    file: File,
    lines: u64,
    hasher: blake3::Hasher,
}

/// State of a metrics file at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsMark {
    /// Number of its lines.
    pub lines: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// BLAKE3 of its content, in hexadecimal.
    pub blake3: String,
}

impl MetricsMark {
    /// Returns the prefix of `content` that this state describes, if it is unchanged.
    fn prefix<'a>(&self, content: &'a [u8]) -> Option<&'a [u8]> {
        let prefix = content.get(..usize::try_from(self.bytes).ok()?)?;
        (blake3::hash(prefix).to_hex().as_str() == self.blake3).then_some(prefix)
    }
}

/// How a metrics file differs, on resume, from its state recorded in the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricsLoss {
    /// Lines are missing.
    #[error("{missing} of its {lines} lines are missing")]
    Lines {
        /// Number of missing lines.
        missing: u64,
        /// Number of lines in the recorded state.
        lines: u64,
    },
    /// The number of lines is the same, but their content differs.
    #[error("its {0} lines are not those that were written")]
    Content(u64),
}

impl MetricsWriter {
    /// Opens the file of an earlier attempt and removes what was written after the checkpoint from which the run is resumed,
    /// that is, what follows that checkpoint's `mark`. Without a mark, or if the file differs from it, removes the lines of
    /// steps after `keep_through_step` and an incomplete last line. A missing file is created. Also returns how the file
    /// differs from the mark.
    ///
    /// # Errors
    /// If the file cannot be read or written, or contains a complete line that is not a JSON object.
    pub fn resume(
        path: &Path,
        keep_through_step: u64,
        mark: Option<&MetricsMark>,
    ) -> Result<(Self, Option<MetricsLoss>), StorageError> {
        let content = read_if_exists(path)?.unwrap_or_default();
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

    /// Appends one record.
    ///
    /// # Errors
    /// If the file cannot be written, for example because the disk is full.
    pub fn write(&mut self, record: Record) -> Result<(), StorageError> {
        let line = Line { schema: Schema, record };
        let mut line = serde_json::to_string(&line).expect("numbers and strings always have a JSON form");
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(StorageError::io("append to", &self.path))?;
        self.hasher.update(line.as_bytes());
        self.lines += 1;
        Ok(())
    }

    /// Syncs the file and returns its state.
    ///
    /// # Errors
    /// If it cannot be synced.
    pub fn sync(&self) -> Result<MetricsMark, StorageError> {
        self.file.sync_all().map_err(StorageError::io("sync", &self.path))?;
        let blake3 = self.hasher.finalize().to_hex().to_string();
        Ok(MetricsMark { lines: self.lines, bytes: self.hasher.count(), blake3 })
    }
}

/// Returns the lines of `content` up to those of a step, without an incomplete last line.
fn lines_through(path: &Path, content: &[u8], step: u64) -> Result<Vec<u8>, StorageError> {
    let mut kept = Vec::new();
    for (text, object) in read_lines::<Map<String, Value>>(path, content)? {
        if object.get("step").and_then(Value::as_u64).is_none_or(|of| of <= step) {
            kept.extend_from_slice(text);
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

/// A line of the file: a record and the version of the format, since later attempts may use another version of the program.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(default)]
    schema: Schema<1>,
    #[serde(flatten)]
    record: Record,
}

/// Reads the records in the file's order. An incomplete last line, which an interrupted write leaves, is skipped; a missing
/// file is an error.
///
/// # Errors
/// If the file cannot be read, or a line is not a record of this version or an older one.
pub fn read_records(path: &Path) -> Result<Vec<Record>, StorageError> {
    let content = read_regular(path).map_err(StorageError::io("read", path))?;
    Ok(read_lines(path, &content)?.into_iter().map(|(_, line): (_, Line)| line.record).collect())
}

/// Returns the last complete record, without reading the rest of the file; none if it cannot be read.
pub fn last_record(path: &Path) -> Option<Record> {
    /// Bytes to read from the end; longer than two lines.
    const TAIL: u64 = 16 * 1024;
    let mut file = open_regular(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).ok()?;
    let whole = &tail[..tail.iter().rposition(|&byte| byte == b'\n')?];
    let line = whole.rsplit(|&byte| byte == b'\n').next()?;
    serde_json::from_slice(line).ok().map(|line: Line| line.record)
}

/// Parses each line except an incomplete last one; returns the line's text, without its newline, and the parsed value.
fn read_lines<'a, T: DeserializeOwned>(
    path: &Path,
    content: &'a [u8],
) -> Result<Vec<(&'a [u8], T)>, StorageError> {
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(content.split_inclusive(|&byte| byte == b'\n')) {
        let (text, complete) = line.strip_suffix(b"\n").map_or((line, false), |text| (text, true));
        match serde_json::from_slice(text) {
            Ok(parsed) => lines.push((text, parsed)),
            Err(_) if !complete => {}
            Err(error) => {
                let found = match error.is_data() {
                    true => format!("line {number} is not a record: {error}"),
                    false => format!("line {number} is not a JSON object; remove it to continue"),
                };
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
        let Line { record, .. } =
            serde_json::from_str(r#"{"kind": "epoch", "epoch": 1, "step": 1, "images": 1}"#).unwrap();
        let error = writer.write(record).unwrap_err();
        assert_eq!(
            crate::describe(&error),
            "cannot append to /dev/full: No space left on device (os error 28)"
        );
    }
}
