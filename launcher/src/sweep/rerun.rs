//! `launcher sweep rerun`: trains one network again from what is recorded, and compares the results.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use regatta_run_folder::{ExitCode, StorageError, print_output};
use regatta_sweep::{End, TrialResult, results};

use super::outcome::{self, Ended};
use super::runs::{RunOptions, RunStarter};
use super::slots::SlotOptions;
use super::{open, plan};
use crate::failure::{Usage, print_status};
use crate::stop::StopSignals;

/// Options of `launcher sweep rerun`.
#[derive(Debug, clap::Args)]
pub(crate) struct RerunCommand {
    /// The folder of the sweep
    sweep: PathBuf,
    /// Name of the network, as in its results
    id: String,
    #[command(flatten)]
    slots: SlotOptions,
    #[command(flatten)]
    run: RunOptions,
}

/// Trains a network again in a run folder of its own and prints both results. Returns the launcher's exit code.
///
/// # Errors
/// If the sweep has no result of this name, or the run cannot be started.
pub(crate) fn rerun(command: &RerunCommand) -> Result<u8> {
    let mut stop = StopSignals::watch()?;
    let (folder, file) = open(&command.sweep)?;
    let plan = plan(&folder, &file)?;
    let recorded = recorded(&results::read(&folder.results())?, &command.id)?;
    let trial = plan.find(&command.id).ok_or_else(|| {
        Usage(format!("{} has a result, but the sweep file has no such network any more", command.id))
    })?;
    let prepared = plan.prepare(trial, recorded.budget.epochs)?;
    if prepared.network() != recorded.network {
        return Err(Usage(format!(
            "{}: the sweep file and recipe now give another network than the recorded one: they were changed",
            command.id
        ))
        .into());
    }
    for path in [folder.runs(), folder.logs()] {
        fs::create_dir_all(&path).map_err(StorageError::io("create the folder", &path))?;
    }
    let name = (1..)
        .map(|number| format!("{}-again-{number}", command.id))
        .find(|name| !folder.run(name).path().exists());
    let name = name.expect("some number is free");
    command.run.check()?;
    let slot =
        command.slots.slots(file.start.ranks, prepared.recipe.train.device, file.start.slots)?.remove(0);
    let starter = RunStarter {
        options: &command.run,
        folder: &folder,
        ranks: file.start.ranks,
        max_restarts: file.start.max_restarts,
    };
    print_status(format_args!("training {} again in {}", command.id, folder.run(&name).path().display()));
    let mut run = starter.start(&prepared, &name, &slot)?;
    let code = loop {
        if let Some(code) = run.try_wait()? {
            break code;
        }
        match stop.take() {
            Some(request) if request.is_forced => run.kill(),
            Some(_) => run.stop(),
            None => {}
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let run = folder.run(&name);
    let is_stopping = stop.request().is_some();
    match outcome::judge(&run, &folder.log(&name), code, recorded.budget.epochs, is_stopping) {
        Ended::Recorded(end) => {
            let again = outcome::result(&plan, trial, &prepared, &run, end)?;
            print_output(compare(&recorded, &again))?;
            Ok(ExitCode::Done.code() as u8)
        }
        Ended::Interrupted => {
            print_status("stopped before its end");
            Ok(ExitCode::Preempted.code() as u8)
        }
        Ended::NoStorage(cause) => {
            Err(StorageError::Content { path: run.path().to_owned(), found: cause }.into())
        }
    }
}

/// Returns the recorded result with this name; of a search, that of the largest budget.
fn recorded(known: &[TrialResult], id: &str) -> Result<TrialResult, Usage> {
    let own = known.iter().filter(|result| result.id == id);
    own.max_by_key(|result| result.budget.epochs).cloned().ok_or_else(|| {
        let example = known.first().map_or_else(String::new, |it| format!(", such as {}", it.id));
        Usage(format!("the sweep has no result of {id:?}: expected a name in results.jsonl{example}"))
    })
}

/// Describes both results.
fn compare(recorded: &TrialResult, again: &TrialResult) -> String {
    let shown = |result: &TrialResult| match (&result.end, result.error()) {
        (End::Done, Some(error)) => format!("error {error:.6}"),
        (End::Done, None) => "not evaluated".to_owned(),
        (End::Diverged { cause }, _) => format!("diverged: {cause}"),
        (End::Failed { cause, .. }, _) => format!("failed: {cause}"),
    };
    let losses = |result: &TrialResult| -> Vec<(u64, Option<u64>)> {
        result.epochs.iter().map(|it| (it.train_loss.to_bits(), it.val_loss.map(f64::to_bits))).collect()
    };
    let verdict = match (losses(recorded) == losses(again), recorded.error() == again.error()) {
        (true, true) => "the same to the bit in every epoch",
        (_, true) => "the same error; the losses differ in rounding",
        _ => "different: another machine, precision or number of threads rounds differently",
    };
    format!("recorded: {}\nagain:    {}\n{verdict}", shown(recorded), shown(again))
}
