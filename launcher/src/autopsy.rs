//! `launcher autopsy`: explains how a run ended from the files that its ranks left in the run folder.

mod findings;
mod silence;

use std::path::{Path, PathBuf};

use anyhow::Result;
use regatta_ledger::{LOCAL_MEMORY, Snapshot, silent_for};
use regatta_run_folder::{
    AttemptRecord, AttemptStart, ExitCode, Failure, RunFolder, host_name, print_output,
};

use findings::{Autopsy, Evidence};
use silence::LastSnapshot;

/// Options of `launcher autopsy`.
#[derive(Debug, clap::Args)]
pub(crate) struct AutopsyCommand {
    /// The run folder, for example runs/regnetx
    run: PathBuf,
    /// Prints the findings as JSON
    #[arg(long)]
    json: bool,
}

/// Prints the findings on the newest attempt.
///
/// # Errors
/// If the folder holds no run or cannot be read.
pub(crate) fn autopsy(command: &AutopsyCommand) -> Result<ExitCode> {
    let findings = Autopsy::of(&read_evidence(&command.run)?);
    if command.json {
        print_output(serde_json::to_string_pretty(&findings)?)?;
    } else {
        print_output(&findings)?;
    }
    Ok(ExitCode::Done)
}

/// Reads everything that the newest attempt left.
fn read_evidence(path: &Path) -> Result<Evidence> {
    let (folder, number) = RunFolder::open(path)?;
    let record = AttemptRecord::read(&folder.attempt(number))?;
    let snapshots = Snapshot::of_attempt(&folder, &record.start.started_at);
    let ledgers: Vec<_> = snapshots.into_iter().map(last_snapshot).collect();
    Ok(Evidence {
        failures: Failure::of_attempt(&folder, number).unwrap_or_default(),
        has_gone: has_gone(&record.start, &ledgers),
        silent_for: silent_for(&folder, ledgers.iter().map(|it| &it.snapshot)),
        checkpoint: regatta_run_folder::checkpoint::newest_valid(&folder)?
            .0
            .map(|checkpoint| checkpoint.path),
        log_of: Box::new(move |rank| Some(folder.log(rank)).filter(|log| log.exists())),
        record,
        ledgers,
    })
}

/// The ledger in this host's shared memory if the rank ran here, else the published copy.
fn last_snapshot(published: Snapshot) -> LastSnapshot {
    match published.in_memory(Path::new(LOCAL_MEMORY)) {
        Some(snapshot) => LastSnapshot { snapshot, is_exact: true },
        None => LastSnapshot { snapshot: published, is_exact: false },
    }
}

/// Whether a process of the attempt ran on this host and no longer exists.
fn has_gone(start: &AttemptStart, ledgers: &[LastSnapshot]) -> bool {
    let here = host_name();
    let ranks = ledgers.iter().map(|ledgers| (&ledgers.snapshot.host, ledgers.snapshot.process_id));
    let mut processes = ranks.chain([(&start.host, start.process_id)]).filter(|(host, _)| **host == here);
    processes.any(|(_, process)| !Path::new("/proc").join(process.to_string()).exists())
}
