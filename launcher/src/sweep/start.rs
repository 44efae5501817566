//! `launcher sweep start`: begins a sweep, or continues one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use regatta_run_folder::{ExitCode, StorageError, counted, print_output, write_atomic};
use regatta_sweep::{Lock, Plan, SweepFile, SweepFolder};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use super::runs::{RunOptions, RunStarter};
use super::slots::SlotOptions;
use super::worker::Worker;
use super::{folder_of, open, plan};
use crate::failure::Usage;

/// Options of `launcher sweep start`.
#[derive(Debug, clap::Args)]
pub(crate) struct StartCommand {
    /// The sweep file, or the folder of a sweep that was started before
    #[arg(value_name = "FILE|SWEEP")]
    sweep: PathBuf,
    #[command(flatten)]
    slots: SlotOptions,
    /// Trains networks again that failed before
    #[arg(long)]
    retry: bool,
    /// Removes the folders of runs whose results are recorded
    #[arg(long)]
    prune: bool,
    /// Prints the networks that would be trained without training them
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    run: RunOptions,
}

/// Trains what has no result yet and returns the launcher's exit code.
///
/// # Errors
/// If the sweep or the options are invalid, the sweep's folder cannot be written, or runs cannot be started.
pub(crate) fn start(command: &StartCommand) -> Result<u8> {
    // First of all, so that no signal is lost.
    let signals =
        Signals::new([SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP]).context("cannot watch signals")?;
    let (folder, file, source) = read(&command.sweep)?;
    if command.dry_run {
        let recipe = source.map_or(folder.recipe(), |source| source.recipe);
        let variables = super::variables(std::env::vars_os())?;
        return show(&Plan::new(&file, recipe, variables)?);
    }
    command.run.check()?;
    if let Some(source) = source {
        source.check(&folder, &file)?;
        // Before anything is written, so that an invalid sweep leaves no folder.
        Plan::new(&file, source.recipe.clone(), super::variables(std::env::vars_os())?)?.check()?;
        source.write(&folder)?;
    }
    create(&folder)?;
    let plan = plan(&folder, &file)?;
    let first = plan.trials()[0];
    let device = plan.prepare(first, plan.epochs(first.space))?.recipe.train.device;
    let worker = Worker {
        starter: RunStarter {
            options: &command.run,
            folder: &folder,
            ranks: file.start.ranks,
            max_restarts: file.start.max_restarts,
        },
        slots: command.slots.slots(file.start.ranks, device, file.start.slots)?,
        plan: &plan,
        retry: command.retry,
        prune: command.prune || file.start.prune,
    };
    worker.run(signals)
}

/// Files that a sweep is started from.
struct Source {
    /// The sweep file.
    file: PathBuf,
    /// The recipe that it names.
    recipe: PathBuf,
}

/// Returns the folder and the content of a sweep file or of a sweep that was started before; of a file also what to copy.
fn read(path: &Path) -> Result<(SweepFolder, SweepFile, Option<Source>)> {
    if path.is_dir() {
        let (folder, file) = open(path)?;
        return Ok((folder, file, None));
    }
    let file = SweepFile::read(path)?;
    let recipe = path.parent().unwrap_or(Path::new("")).join(&file.recipe);
    Ok((folder_of(&file, path), file, Some(Source { file: path.to_owned(), recipe })))
}

impl Source {
    /// Checks that a sweep that was started before was the same one.
    fn check(&self, folder: &SweepFolder, file: &SweepFile) -> Result<()> {
        let Ok((_, earlier)) = open(folder.path()) else {
            let used = folder.path().exists() && !is_empty(folder.path());
            return match used {
                true => Err(Usage(format!(
                    "{} exists and is not the folder of a sweep: move it away, or rename the sweep file",
                    folder.path().display()
                ))
                .into()),
                false => Ok(()),
            };
        };
        let same_recipe = fs::read(&self.recipe).ok() == fs::read(folder.recipe()).ok();
        let differs = if same_recipe { file.difference_from(&earlier) } else { Some("the recipe") };
        match differs {
            None => Ok(()),
            Some(what) => Err(Usage(format!(
                "{}: {what} is not as it was when {} was started, so that new results would not be comparable: restore it \
                 (`launcher sweep start {}` continues), or rename the sweep file for a new sweep",
                self.file.display(),
                folder.path().display(),
                folder.path().display()
            ))
            .into()),
        }
    }

    /// Creates the sweep's folder, or updates its copies of the sweep file and the recipe.
    fn write(&self, folder: &SweepFolder) -> Result<()> {
        create(folder)?;
        let _lock = Lock::acquire(&folder.lock())?;
        let recipe = fs::read(&self.recipe).map_err(StorageError::io("read", &self.recipe))?;
        write_atomic(folder.recipe(), &recipe)?;
        let text = fs::read(&self.file).map_err(StorageError::io("read", &self.file))?;
        write_atomic(folder.file(), &text)?;
        Ok(())
    }
}

/// Creates the folder of a sweep and its subfolders; existing ones are kept.
fn create(folder: &SweepFolder) -> Result<(), StorageError> {
    for path in [folder.path().to_owned(), folder.claims(), folder.runs(), folder.logs()] {
        fs::create_dir_all(&path).map_err(StorageError::io("create the folder", &path))?;
    }
    Ok(())
}

fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Prints the trials with their complexity.
fn show(plan: &Plan) -> Result<u8> {
    let trials = plan.trials();
    let mut lines = vec![format!(
        "{:<24} {:>14} {:>12} {:>12}  network",
        "trial", "multiply-adds", "parameters", "activations"
    )];
    for &trial in trials.iter().filter(|trial| trial.seed == 0) {
        let prepared = plan.prepare(trial, plan.epochs(trial.space))?;
        let network = prepared.network();
        let side = prepared.recipe.data.resolution_px.into();
        let summary = network.summary(1, side, side)?;
        let stages: Vec<_> =
            network.stages.iter().map(|stage| format!("{}x{}", stage.depth, stage.width)).collect();
        lines.push(format!(
            "{:<24} {:>14} {:>12} {:>12}  {}",
            prepared.id,
            summary.flops,
            summary.params,
            summary.activations,
            stages.join(" ")
        ));
    }
    lines.push(format!("{}, with all seeds", counted(trials.len(), "trial")));
    print_output(lines.join("\n"))?;
    Ok(ExitCode::Done.code() as u8)
}
