//! The records of `metrics.jsonl`. Lines that are no records are counted, not rejected.

use regatta_run_folder::{EpochRecord, Schema, StepRecord};
use serde::Deserialize;

/// The records of a run in the file's order.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// The records.
    pub lines: Vec<Line>,
    /// Number of complete lines that are no records of a known version.
    pub skipped: usize,
}

/// A record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Line {
    /// The steps since the previous step record.
    Step(StepRecord),
    /// One epoch and its evaluation.
    Epoch(EpochRecord),
}

/// What a line is read for first.
#[derive(Deserialize)]
struct Head {
    #[serde(default, rename = "schema")]
    _schema: Schema<1>,
    kind: Kind,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Step,
    Epoch,
}

impl Records {
    /// Reads the content of a metrics file. The end of the file may be the beginning of a line that is still being written.
    pub fn of(content: &[u8]) -> Self {
        let mut records = Self::default();
        for text in content.split_inclusive(|&byte| byte == b'\n') {
            match line(text) {
                Some(line) => records.lines.push(line),
                None => records.skipped += usize::from(text.ends_with(b"\n") && !is_of_another_kind(text)),
            }
        }
        records
    }

    /// Returns the step records.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = &StepRecord> {
        self.lines.iter().filter_map(|line| match line {
            Line::Step(step) => Some(step),
            Line::Epoch(_) => None,
        })
    }

    /// Returns the epoch records.
    pub fn epochs(&self) -> impl DoubleEndedIterator<Item = &EpochRecord> {
        self.lines.iter().filter_map(|line| match line {
            Line::Epoch(epoch) => Some(epoch),
            Line::Step(_) => None,
        })
    }
}

fn line(text: &[u8]) -> Option<Line> {
    let Head { kind, .. } = serde_json::from_slice(text).ok()?;
    Some(match kind {
        Kind::Step => Line::Step(serde_json::from_slice(text).ok()?),
        Kind::Epoch => Line::Epoch(serde_json::from_slice(text).ok()?),
    })
}

/// Returns whether a line is a record of a kind that this version does not know.
fn is_of_another_kind(text: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Other {
        #[serde(default, rename = "schema")]
        _schema: Schema<1>,
        kind: String,
    }
    serde_json::from_slice(text).is_ok_and(|other: Other| !["step", "epoch"].contains(&other.kind.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> (Vec<u64>, usize) {
        let records = Records::of(content.as_bytes());
        let steps = records.lines.iter().map(|line| match line {
            Line::Step(step) => step.step,
            Line::Epoch(epoch) => epoch.step,
        });
        (steps.collect(), records.skipped)
    }

    const STEP: &str =
        r#"{"schema":1,"kind":"step","epoch":1,"step":7,"images":9,"loss":0.5,"grad_norm":2.5}"#;
    const EPOCH: &str = r#"{"kind":"epoch","epoch":1,"step":9,"images":9,"train_loss":null}"#;

    #[test]
    fn torn_lines_are_skipped_and_counted_unless_they_are_being_written() {
        assert_eq!(read(&format!("{STEP}\n{EPOCH}\n")), (vec![7, 9], 0));
        assert_eq!(read(&format!("{STEP}\n{}", &EPOCH[..30])), (vec![7], 0));
        assert_eq!(read(&format!("{}\n{STEP}\n\0\0\n", &EPOCH[..30])), (vec![7], 2));
        assert_eq!(read(&STEP.replace("\"schema\":1", "\"schema\":9").replace('}', "}\n")), (vec![], 1));
        assert_eq!(read("{\"kind\":\"gpu\",\"watts\":300}\n"), (vec![], 0));
        assert_eq!(read(""), (vec![], 0));
    }
}
