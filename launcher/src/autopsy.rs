//! `launcher autopsy`: how a run came to its end, from what its ranks left in the run folder.

mod findings;
mod silence;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use regatta_ledger::{LOCAL_MEMORY, Snapshot};
use regatta_run_folder::{
    Attempt, AttemptRecord, AttemptStart, ExitCode, Failure, RunFolder, host_name, print_output,
};

use crate::failure::Usage;
use findings::{Autopsy, Left};
use silence::Words;

/// What `launcher autopsy` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct AutopsyCommand {
    /// The run folder, for example runs/regnetx
    run: PathBuf,
    /// Prints what was found as JSON
    #[arg(long)]
    json: bool,
}

/// Prints what is found.
pub(crate) fn autopsy(command: &AutopsyCommand) -> Result<ExitCode> {
    let findings = Autopsy::of(&left_in(&command.run)?);
    if command.json {
        print_output(serde_json::to_string_pretty(&findings)?)?;
    } else {
        print_output(&findings)?;
    }
    Ok(ExitCode::Done)
}

/// Everything that the newest attempt left.
fn left_in(path: &Path) -> Result<Left> {
    let folder = RunFolder::new(path, "");
    let is_run = folder.attempts().is_dir();
    let newest = if is_run { Attempt::newest(&folder)? } else { None };
    let Some(number) = newest else {
        let why = "no run was started there: give a run folder, such as runs/regnetx";
        return Err(Usage(format!("{}: {why}", path.display())).into());
    };
    let record = AttemptRecord::read(&folder.attempt(number))?;
    let mut snapshots = Snapshot::of_run(&folder);
    // Those of earlier attempts stay until they are replaced.
    snapshots.retain(|snapshot| snapshot.heartbeat_at() >= record.start.started_at);
    let words: Vec<_> = snapshots.into_iter().map(last_words).collect();
    let metrics = std::fs::metadata(folder.metrics()).and_then(|it| it.modified()).ok();
    let since_metrics = metrics.and_then(|at| SystemTime::now().duration_since(at).ok());
    let silent_for = words.iter().map(|words| words.snapshot.silent_for()).chain(since_metrics).min();
    Ok(Left {
        failures: Failure::of_attempt(&folder, number).unwrap_or_default(),
        has_gone: has_gone(&record.start, &words),
        silent_for: silent_for.unwrap_or(Duration::MAX),
        checkpoint: regatta_run_folder::checkpoint::newest_valid(&folder)?
            .0
            .map(|checkpoint| checkpoint.path),
        log_of: Box::new(move |rank| Some(folder.log(rank)).filter(|log| log.exists())),
        record,
        words,
    })
}

/// From the memory of this host where the rank ran here, else as they were published.
fn last_words(published: Snapshot) -> Words {
    match published.in_memory(Path::new(LOCAL_MEMORY)) {
        Some(snapshot) => Words { snapshot, is_exact: true },
        None => Words { snapshot: published, is_exact: false },
    }
}

/// Whether a process of the attempt ran on this host and is not there any more.
fn has_gone(start: &AttemptStart, words: &[Words]) -> bool {
    let here = host_name();
    let ranks = words.iter().map(|words| (&words.snapshot.host, words.snapshot.process_id));
    let mut processes = ranks.chain([(&start.host, start.process_id)]).filter(|(host, _)| **host == here);
    processes.any(|(_, process)| !Path::new("/proc").join(process.to_string()).exists())
}
