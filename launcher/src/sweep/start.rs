//! `launcher sweep start`: begins a sweep, or continues one.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use regatta_run_folder::{ExitCode, StorageError, counted, print_output, write_atomic};
use regatta_sweep::{Lock, Plan, SweepFile, SweepFolder};

use super::runs::{RunOptions, RunStarter};
use super::slots::SlotOptions;
use super::worker::Worker;
use super::{device, folder_of, open, plan};
use crate::failure::Usage;
use crate::stop::StopSignals;

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
    /// Exits when only networks that other launchers train are left, instead of waiting for them
    #[arg(long)]
    no_wait: bool,
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
    let stop = StopSignals::watch()?;
    let sweep = Sweep::read(&command.sweep)?;
    if command.dry_run {
        return show(&sweep.plan()?);
    }
    command.run.check()?;
    sweep.check()?;
    sweep.create()?;
    let Sweep { folder, file, .. } = sweep;
    let plan = plan(&folder, &file)?;
    let device = device(&plan)?;
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
        waits: !command.no_wait,
        prune: command.prune || file.start.prune,
    };
    worker.run(stop)
}

/// A sweep that is to be started.
pub(super) struct Sweep {
    pub(super) folder: SweepFolder,
    pub(super) file: SweepFile,
    /// Files to copy into the folder; none if the folder itself was named.
    source: Option<Source>,
}

/// Files that a sweep is started from.
struct Source {
    /// The sweep file.
    file: PathBuf,
    /// The recipe that it names.
    recipe: PathBuf,
}

impl Sweep {
    /// Reads a sweep file, or the folder of a sweep that was started before.
    ///
    /// # Errors
    /// If it is neither.
    pub(super) fn read(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let (folder, file) = open(path)?;
            return Ok(Self { folder, file, source: None });
        }
        let file = SweepFile::read(path)?;
        let recipe = path.parent().unwrap_or(Path::new("")).join(&file.recipe);
        let source = Some(Source { file: path.to_owned(), recipe });
        Ok(Self { folder: folder_of(&file, path), file, source })
    }

    /// Plans its trials without its folder, which may not exist yet.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub(super) fn plan(&self) -> Result<Plan> {
        let recipe = self.source.as_ref().map_or(self.folder.recipe(), |source| source.recipe.clone());
        Ok(Plan::new(&self.file, recipe, super::variables(std::env::vars_os())?)?)
    }

    /// Checks that it is valid, and that its folder is not something else, and returns its plan.
    ///
    /// # Errors
    /// If not.
    pub(super) fn check(&self) -> Result<Plan> {
        refuse_foreign(self.folder.path())?;
        if let Some(source) = self.source.as_ref().filter(|_| self.folder.file().is_file()) {
            source.check(&self.folder, &self.file)?;
        }
        let plan = self.plan()?;
        plan.check()?;
        Ok(plan)
    }

    /// Creates the folder of a sweep that was [checked](Self::check), or updates the copies of the files in it.
    ///
    /// # Errors
    /// If another launcher has just created a different sweep in this folder, or it cannot be written.
    pub(super) fn create(&self) -> Result<()> {
        let Some(source) = &self.source else { return Ok(create(&self.folder)?) };
        create(&self.folder)?;
        // Another launcher may be creating the same sweep at this moment.
        let _lock = Lock::acquire(&self.folder.lock())?;
        if self.folder.file().is_file() {
            source.check(&self.folder, &self.file)?;
        }
        source.copy(&self.folder)
    }
}

impl Source {
    /// Checks that the sweep that was started before in this folder was the same one.
    fn check(&self, folder: &SweepFolder, file: &SweepFile) -> Result<()> {
        let (_, earlier) = open(folder.path())?;
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

    /// Copies the sweep file and the recipe into the sweep's folder, the sweep file last.
    fn copy(&self, folder: &SweepFolder) -> Result<()> {
        for (from, to) in [(&self.recipe, folder.recipe()), (&self.file, folder.file())] {
            let content = fs::read(from).map_err(StorageError::io("read", from))?;
            write_atomic(to, &content)?;
        }
        Ok(())
    }
}

/// Rejects a folder with content that is not a sweep's.
fn refuse_foreign(path: &Path) -> Result<(), Usage> {
    // What the folder of a sweep has before its lock.
    let ours = ["claims", "runs", "logs"];
    let names = |entries: fs::ReadDir| entries.flatten().map(|entry| entry.file_name()).collect::<Vec<_>>();
    let found = fs::read_dir(path).map(names).unwrap_or_default();
    let is_ours = |name: &OsString| ours.iter().any(|it| name == it);
    let is_sweep = ["sweep.toml", "lock"].iter().any(|name| path.join(name).is_file());
    if is_sweep || found.iter().all(is_ours) {
        return Ok(());
    }
    Err(Usage(format!(
        "{} exists and is not the folder of a sweep: move it away, or rename the sweep file",
        path.display()
    )))
}

/// Creates the folder of a sweep and its subfolders; existing ones are kept.
fn create(folder: &SweepFolder) -> Result<(), StorageError> {
    for path in [folder.path().to_owned(), folder.claims(), folder.runs(), folder.logs()] {
        fs::create_dir_all(&path).map_err(StorageError::io("create the folder", &path))?;
    }
    Ok(())
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
