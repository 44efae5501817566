//! Reading a run folder for a report: the only part of it that does I/O. Files that are missing or damaged leave a note.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use regatta_ledger::{Snapshot, silent_for};
use regatta_run_folder::{
    Attempt, AttemptRecord, EvaluationRecord, Failure, OpenError, PlannedRun, RunFolder, StepRecord,
    StorageError, WorstImage, describe, open_regular, read_if_exists, read_regular,
};
use regatta_settings::flattened;

use super::attempts::fill_resumed_steps;
use super::records::Records;

/// Largest image of an evaluation that becomes a part of the page.
const MOST_IMAGE_BYTES: usize = 64 * 1024;

/// The files of a run.
#[derive(Clone, Debug)]
pub struct RunFiles {
    /// Name of its folder.
    pub name: String,
    /// Path of its folder.
    pub path: PathBuf,
    /// Its attempts in order, each with the step that it resumed from and the first failure that its ranks reported.
    pub attempts: Vec<(AttemptRecord, Option<Failure>)>,
    /// Its metrics.
    pub records: Records,
    /// The values of its resolved recipe by key.
    pub recipe: BTreeMap<String, String>,
    /// The versions that resolved the recipe, in a sentence.
    pub resolved: Option<String>,
    /// What was predicted for it, if that was saved.
    pub plan: Option<PlannedRun>,
    /// The ledgers of the newest attempt, sorted by rank.
    pub ledgers: Vec<Snapshot>,
    /// Time since the last sign of life of any rank.
    pub silent_for: Duration,
    /// Saved evaluations, with the PNG files of their worst images.
    pub evaluations: Vec<(EvaluationRecord, Vec<Option<Vec<u8>>>)>,
    /// What could not be read.
    pub notes: Vec<String>,
}

impl RunFiles {
    /// Returns the training images per second that were predicted for the steps up to a record's, if any.
    pub(super) fn planned_images_per_second(&self, record: &StepRecord) -> Option<f64> {
        let before = |(attempt, _): &&(AttemptRecord, _)| attempt.start.from_step < Some(record.step);
        let (attempt, _) = self.attempts.iter().rev().find(before)?;
        self.plan.as_ref()?.images_per_second(attempt.start.world_size, record.epoch)
    }

    /// Reads the run folder `path`.
    ///
    /// # Errors
    /// If no run was started there, or the folder cannot be read.
    pub fn read(path: &Path) -> Result<Self, OpenError> {
        let (folder, _) = RunFolder::open(path)?;
        let mut notes = Vec::new();
        let attempts = attempts(&folder, &mut notes)?;
        let (recipe, resolved) = recipe(&folder, &mut notes);
        let records = records(&folder, &mut notes);
        let started_at = attempts.last().map_or("", |(record, _)| &record.start.started_at);
        let ledgers = Snapshot::of_attempt(&folder, started_at);
        Ok(Self {
            name: name(path),
            path: path.to_owned(),
            silent_for: silent_for(&folder, ledgers.iter()),
            evaluations: evaluations(&folder, &mut notes),
            plan: plan(&folder, &mut notes),
            attempts,
            records,
            recipe,
            resolved,
            ledgers,
            notes,
        })
    }
}

/// Returns the name of the folder that a path such as `.` refers to.
fn name(path: &Path) -> String {
    let full = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    full.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn attempts(
    folder: &RunFolder,
    notes: &mut Vec<String>,
) -> Result<Vec<(AttemptRecord, Option<Failure>)>, StorageError> {
    let mut read = |number| match AttemptRecord::read(&folder.attempt(number)) {
        Ok(record) => {
            let failures = Failure::of_attempt(folder, number).unwrap_or_default();
            Some((record, failures.into_iter().next()))
        }
        Err(error) => {
            notes.push(describe(&error));
            None
        }
    };
    let mut attempts: Vec<_> = Attempt::numbers(folder)?.into_iter().filter_map(&mut read).collect();
    fill_resumed_steps(attempts.iter_mut().map(|(record, _)| record));
    Ok(attempts)
}

fn records(folder: &RunFolder, notes: &mut Vec<String>) -> Records {
    let path = folder.metrics();
    let content = read_if_exists(&path).unwrap_or_else(|error| {
        notes.push(describe(&error));
        None
    });
    let records = Records::of(&content.unwrap_or_default());
    if records.skipped > 0 {
        notes.push(format!("{}: {} lines that are no records were skipped", path.display(), records.skipped));
    }
    records
}

/// Returns the values of the resolved recipe, and the comment in its first line.
fn recipe(folder: &RunFolder, notes: &mut Vec<String>) -> (BTreeMap<String, String>, Option<String>) {
    let path = folder.config();
    let read = read_regular(&path)
        .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
        .map_err(|error| describe(&StorageError::io("read", &path)(error)));
    let parsed = read.and_then(|text| match toml::from_str::<toml::Value>(&text) {
        Ok(recipe) => Ok((text, recipe)),
        Err(error) => Err(format!("{}: {}", path.display(), error.message())),
    });
    match parsed {
        Ok((text, recipe)) => {
            let comment = text.lines().next().and_then(|line| line.strip_prefix("# "));
            (flattened(&recipe), comment.map(str::to_owned))
        }
        Err(note) => {
            notes.push(note);
            (BTreeMap::new(), None)
        }
    }
}

fn plan(folder: &RunFolder, notes: &mut Vec<String>) -> Option<PlannedRun> {
    PlannedRun::read(folder).unwrap_or_else(|error| {
        notes.push(describe(&error));
        None
    })
}

fn evaluations(folder: &RunFolder, notes: &mut Vec<String>) -> Vec<(EvaluationRecord, Vec<Option<Vec<u8>>>)> {
    let mut read = |split: &&str| match EvaluationRecord::read(folder, split) {
        Ok(record) => record.map(|record| {
            let images = record.worst.iter().map(|image| png(folder, image)).collect();
            (record, images)
        }),
        Err(error) => {
            notes.push(describe(&error));
            None
        }
    };
    ["val", "train"].iter().filter_map(&mut read).collect()
}

/// Returns the PNG file of an image, unless it is missing, large or something else.
fn png(folder: &RunFolder, image: &WorstImage) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = open_regular(&image.path(folder)?).ok()?;
    file.take(MOST_IMAGE_BYTES as u64 + 1).read_to_end(&mut bytes).ok()?;
    (bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.len() <= MOST_IMAGE_BYTES).then_some(bytes)
}
