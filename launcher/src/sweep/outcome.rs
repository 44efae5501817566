//! What came out of a run: read from its folder when it has ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;
use regatta_run_folder::{
    Attempt, AttemptRecord, EpochRecord, ExitCode, Record, RunFolder, StorageError, read_records, utc,
};
use regatta_sweep::{Budget, End, Plan, Prepared, Trial, TrialResult};

/// How a run that was trained for a result ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With something to record.
    Recorded(End),
    /// It was stopped and goes on later.
    Interrupted,
    /// Its folder cannot be written: no other run could be either.
    NoStorage(String),
}

/// Judges the end of a run by its exit code.
///
/// `log` has what its launcher printed, `epochs` is what it was trained for.
pub(crate) fn judge(run: &RunFolder, log: &Path, code: i32, epochs: u64, is_stopping: bool) -> Ended {
    let cause = || cause(run).or_else(|| last_error(log)).unwrap_or_else(|| format!("exit code {code}"));
    if code == ExitCode::Done.code() {
        return Ended::Recorded(match last_epoch(run) {
            Some(last) if last.epoch == epochs && last.val_top1.is_some() => End::Done,
            last => {
                let found = last.map_or(0, |last| last.epoch);
                let cause =
                    format!("the run ended after epoch {found} of {epochs}, or without an evaluation");
                End::Failed { cause, exit_code: code }
            }
        });
    }
    if code == ExitCode::Diverged.code() {
        return Ended::Recorded(End::Diverged { cause: cause() });
    }
    if code == ExitCode::Preempted.code() || is_stopping {
        return Ended::Interrupted;
    }
    if code == ExitCode::Storage.code() {
        // On a full disk neither the run nor its launcher's log may have had room for the cause.
        return Ended::NoStorage(format!(
            "the run's folder cannot be written (is the disk full?): {}",
            cause()
        ));
    }
    Ended::Recorded(End::Failed { cause: cause(), exit_code: code })
}

/// What the newest attempt said of its end.
fn cause(run: &RunFolder) -> Option<String> {
    let newest = Attempt::newest(run).ok()??;
    Some(AttemptRecord::read(&run.attempt(newest)).ok()?.end?.end)
}

/// The last error that the launcher of a run printed.
fn last_error(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let error = text.lines().rev().find_map(|line| line.trim().strip_prefix("error: "))?;
    Some(error.to_owned())
}

fn last_epoch(run: &RunFolder) -> Option<EpochRecord> {
    read_records(&run.metrics()).ok()?.into_iter().filter_map(Record::epoch).next_back()
}

/// Reads a result from the folder of a run that has ended.
///
/// # Errors
/// If its metrics cannot be read, or the network is not valid.
pub(crate) fn result(
    plan: &Plan,
    trial: Trial,
    prepared: &Prepared,
    run: &RunFolder,
    end: End,
) -> Result<TrialResult> {
    let recipe = &prepared.recipe;
    let network = prepared.network();
    let side = recipe.data.resolution_px;
    let summary = network.summary(1, side.into(), side.into())?;
    // A run that failed early has no metrics.
    let records = match run.metrics().exists() {
        true => read_records(&run.metrics())?,
        false => Vec::new(),
    };
    let epochs: Vec<EpochRecord> = records.into_iter().filter_map(Record::epoch).collect();
    let newest = Attempt::newest(run).ok().flatten();
    let attempt = newest.and_then(|newest| AttemptRecord::read(&run.attempt(newest)).ok());
    Ok(TrialResult {
        schema: Default::default(),
        id: prepared.id.clone(),
        space: plan.file().spaces[trial.space].name(),
        sample: trial.sample,
        sampling_seed: prepared.sampling_seed,
        training_seed: recipe.train.seed,
        set: prepared.set.clone(),
        network,
        generator: prepared.generator.clone(),
        drawn: prepared.drawn.clone(),
        resolution_px: side,
        flops: summary.flops,
        params: summary.params,
        activations: summary.activations,
        budget: Budget { epochs: recipe.train.epochs, schedule_epochs: recipe.schedule.epochs },
        seconds: epochs.iter().map(|epoch| epoch.seconds).filter(|seconds| seconds.is_finite()).sum(),
        epochs,
        end,
        attempts: newest.unwrap_or(0),
        ranks: plan.file().start.ranks,
        host: attempt.map_or_else(regatta_run_folder::host_name, |attempt| attempt.start.host),
        ended_at: utc(SystemTime::now()),
        versions: BTreeMap::from([("regatta".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
    })
}

/// Removes a run's folder and the log of its launcher.
///
/// # Errors
/// If they cannot be removed.
pub(crate) fn prune(run: &RunFolder, log: &Path) -> Result<(), StorageError> {
    let absent = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    match std::fs::remove_dir_all(run.path()) {
        Err(error) if !absent(&error) => return Err(StorageError::io("remove", run.path())(error)),
        _ => {}
    }
    match std::fs::remove_file(log) {
        Err(error) if !absent(&error) => Err(StorageError::io("remove", log)(error)),
        _ => Ok(()),
    }
}
