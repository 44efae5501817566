//! `launcher sweep`: draws networks of design spaces, trains them, and compares the spaces.

mod start;
mod submit;

mod outcome;
mod progress;
mod runs;
mod slots;
mod worker;

mod analyze;
mod rerun;
mod status;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;
use regatta_settings::{Device, key_of_variable, may_differ};
use regatta_sweep::{Plan, SweepFile, SweepFolder};

use crate::failure::Usage;

/// Options of `launcher sweep`.
#[derive(Debug, clap::Args)]
pub(crate) struct SweepCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Draws networks and trains them, or continues where an earlier start stopped
    Start(Box<start::StartCommand>),
    /// Submits a sweep to Slurm as a job array
    Submit(Box<submit::SubmitCommand>),
    /// Shows what is done, running and failed, the time left and the best network so far
    Status(status::StatusCommand),
    /// Compares spaces: writes tables, figures and one page; also while the sweep runs
    Analyze(analyze::AnalyzeCommand),
    /// Trains one of the networks again and compares the result with the recorded one
    Rerun(Box<rerun::RerunCommand>),
}

/// Runs a command of sweeps and returns the launcher's exit code.
///
/// # Errors
/// If the sweep or the options are invalid, or its folder cannot be read or written.
pub(crate) fn sweep(command: &SweepCommand) -> Result<u8> {
    match &command.command {
        Command::Start(command) => start::start(command),
        Command::Submit(command) => submit::submit(command),
        Command::Status(command) => status::status(command),
        Command::Analyze(command) => analyze::analyze(command),
        Command::Rerun(command) => rerun::rerun(command),
    }
}

/// Opens the folder of a sweep that was started before.
///
/// # Errors
/// If it is none.
fn open(path: &Path) -> Result<(SweepFolder, SweepFile)> {
    let folder = SweepFolder::new(path);
    if !folder.file().is_file() {
        let problem = format!(
            "{} is not the folder of a sweep: it has no sweep.toml; `launcher sweep start FILE` makes one",
            path.display()
        );
        return Err(Usage(problem).into());
    }
    let file = SweepFile::read(&folder.file()).context("the sweep's folder")?;
    Ok((folder, file))
}

/// Plans the trials of a sweep in its folder.
///
/// # Errors
/// As [`Plan::new`], and environment variables that change results.
fn plan(folder: &SweepFolder, file: &SweepFile) -> Result<Plan> {
    Ok(Plan::new(file, folder.recipe(), variables(std::env::vars_os())?)?)
}

/// Returns the device that the runs of a sweep compute on.
///
/// # Errors
/// As [`Plan::prepare`].
fn device(plan: &Plan) -> Result<Device> {
    let first = plan.trials()[0];
    Ok(plan.prepare(first, plan.epochs(first.space))?.recipe.train.device)
}

/// Returns the environment variables that the recipe is read with.
///
/// # Errors
/// A variable that sets a key that changes results: a later start, perhaps without it, would train other networks.
fn variables(all: impl Iterator<Item = (OsString, OsString)>) -> Result<Vec<(OsString, OsString)>, Usage> {
    const CHANGE_RESULTS: [&str; 3] = ["train.epochs", "train.max_steps", "schedule.epochs"];
    let mut ours = Vec::new();
    for (name, value) in all {
        let Some(key) = key_of_variable(&name.to_string_lossy()) else { continue };
        if !may_differ(&key) || CHANGE_RESULTS.contains(&key.as_str()) || key.starts_with("eval.") {
            return Err(Usage(format!(
                "{} is set, but all starts of a sweep must train the same networks in the same way: unset it, and put \
                 \"{key}=…\" into the sweep file's set",
                name.to_string_lossy()
            )));
        }
        ours.push((name, value));
    }
    Ok(ours)
}

/// Returns the sweep's folder of a sweep file: its name without extension, in `folder`.
fn folder_of(file: &SweepFile, path: &Path) -> SweepFolder {
    let name: PathBuf = path.file_stem().unwrap_or_default().into();
    SweepFolder::new(file.folder.join(name))
}
