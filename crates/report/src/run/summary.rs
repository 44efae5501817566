//! A run in a few numbers, for a row of a table.

use regatta_ledger::ALIVE;
use regatta_run_folder::{EpochRecord, ExitCode};
use serde::Serialize;

use super::RunFiles;
use super::curves::Clock;

/// How far a run is, judged by its newest attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It has done what its recipe asks for.
    Done,
    /// It was stopped on request, with a checkpoint.
    Stopped,
    /// Its ranks are alive.
    Running,
    /// It failed, or its end was not recorded.
    Failed,
}

/// A run in a few numbers; those that are unknown are `null` in JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Name of its folder.
    pub name: String,
    /// Path of its folder.
    pub path: String,
    /// How far it is.
    pub state: RunState,
    /// Epochs done.
    pub epochs: u64,
    /// Epochs that the recipe asks for.
    pub planned_epochs: Option<u64>,
    /// Steps done.
    pub steps: u64,
    /// Largest top-1 accuracy of an evaluation, a fraction.
    pub best_top1: Option<f64>,
    /// The epoch of that evaluation.
    pub best_epoch: Option<u64>,
    /// Top-1 accuracy of the last evaluation.
    pub last_top1: Option<f64>,
    /// Validation loss of the last evaluation.
    pub val_loss: Option<f64>,
    /// Training loss of the last step record.
    pub train_loss: Option<f64>,
    /// Median of the last step records' training images per second, on all ranks.
    pub images_per_second: Option<f64>,
    /// The same of the predicted images per second, if a prediction was saved.
    pub planned_images_per_second: Option<f64>,
    /// Seconds that the processes of all attempts ran, up to their last step records; without steps that were lost and repeated.
    pub seconds: f64,
    /// Number of ranks of the newest attempt.
    pub ranks: usize,
    /// Number of attempts.
    pub attempts: usize,
}

impl RunState {
    /// Returns it as a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Running => "running",
            Self::Failed => "failed",
        }
    }
}

impl Summary {
    /// Summarises a run.
    pub fn of(run: &RunFiles) -> Self {
        let finite = |value: f64| value.is_finite().then_some(value);
        let evaluated =
            || run.records.epochs().filter_map(|it| Some((it.epoch, it.val_top1.and_then(finite)?)));
        let best = evaluated().max_by(|one, other| one.1.total_cmp(&other.1).then(other.0.cmp(&one.0)));
        let mut clock = Clock::default();
        run.records.steps().for_each(|step| _ = clock.at(step));
        let done = |of: fn(&EpochRecord) -> u64| run.records.epochs().map(of).max().unwrap_or(0);
        let logged = run.records.steps().map(|step| step.step).max().unwrap_or(0);
        Self {
            name: run.name.clone(),
            path: run.path.display().to_string(),
            state: state(run),
            epochs: done(|epoch| epoch.epoch),
            planned_epochs: run.recipe.get("train.epochs").and_then(|value| value.parse().ok()),
            steps: done(|epoch| epoch.step).max(logged),
            best_top1: best.map(|(_, top1)| top1),
            best_epoch: best.map(|(epoch, _)| epoch),
            last_top1: evaluated().next_back().map(|(_, top1)| top1),
            val_loss: run.records.epochs().rev().find_map(|it| it.val_loss.and_then(finite)),
            train_loss: run.records.steps().rev().find_map(|it| finite(it.loss)),
            images_per_second: median(run.records.steps().rev().map(|it| it.images_per_second)),
            planned_images_per_second: median(
                run.records.steps().rev().map(|it| run.planned_images_per_second(it).unwrap_or(f64::NAN)),
            ),
            seconds: clock.total(),
            ranks: run.attempts.last().map_or(0, |(record, _)| record.start.world_size),
            attempts: run.attempts.len(),
        }
    }
}

fn state(run: &RunFiles) -> RunState {
    let newest = run.attempts.last();
    match newest.and_then(|(record, _)| record.end.as_ref()).map(|end| end.exit_code) {
        Some(code) if code == ExitCode::Done.code() => RunState::Done,
        Some(code) if code == ExitCode::Preempted.code() => RunState::Stopped,
        None if run.silent_for < ALIVE && newest.is_some_and(|(_, failure)| failure.is_none()) => {
            RunState::Running
        }
        _ => RunState::Failed,
    }
}

/// Returns the median of the first 20 finite values.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).take(20).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
