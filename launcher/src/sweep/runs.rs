//! Runs of a sweep: each is an ordinary run, started by a `launcher run` of its own.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use regatta_run_folder::StorageError;
use regatta_sweep::{Prepared, SweepFolder};
use rustix::process::{Pid, Signal, kill_process};

use super::slots::Slot;
use crate::process_tree;
use crate::run::check_root;
use crate::run::mpi::Starter;
use crate::run::placement::ProgramOptions;
use crate::run::ranks::ended_with_launcher;
use crate::trainer_binary;

/// Options that are passed on to every `launcher run`.
#[derive(Clone, Debug, clap::Args)]
#[command(mut_arg("extra", |extra| extra.help("Options for mpirun")))]
pub(crate) struct RunOptions {
    #[command(flatten)]
    programs: ProgramOptions,
    /// Allows running as root
    #[arg(long)]
    allow_run_as_root: bool,
}

impl RunOptions {
    /// Checks that runs can be started at all.
    ///
    /// # Errors
    /// If there is no trainer or no mpirun, or root is not allowed.
    pub(crate) fn check(&self) -> Result<()> {
        trainer_binary::find(self.programs.trainer.as_deref())?;
        Starter::mpirun(self.programs.mpirun.as_deref())?;
        Ok(check_root(self.allow_run_as_root)?)
    }
}

/// How a run is started.
#[derive(Clone, Debug)]
pub(crate) struct RunStarter<'a> {
    pub(crate) options: &'a RunOptions,
    pub(crate) folder: &'a SweepFolder,
    pub(crate) ranks: usize,
    pub(crate) max_restarts: usize,
}

/// A `launcher run` that was started.
#[derive(Debug)]
pub(crate) struct Run {
    child: Child,
}

impl RunStarter<'_> {
    /// Starts the run of a trial, called `name`, at a place, or continues it from its newest checkpoint.
    ///
    /// # Errors
    /// If the launcher cannot be started or its log cannot be written.
    pub(crate) fn start(&self, trial: &Prepared, name: &str, slot: &Slot) -> Result<Run> {
        let path = self.folder.log(name);
        let open = || OpenOptions::new().create(true).append(true).open(&path);
        let log = open().map_err(StorageError::io("open", &path))?;
        let errors = log.try_clone().map_err(StorageError::io("open", &path))?;
        let mut command = Command::new(std::env::current_exe().context("cannot find this program's file")?);
        command.args(self.arguments(trial, name, slot));
        if slot.is_here() {
            // In a Slurm job mpirun would start ranks through srun, one for each task of the job.
            let of_slurm = |name: &OsString| name.to_string_lossy().starts_with("SLURM_");
            let names = std::env::vars_os().map(|(name, _)| name).filter(of_slurm);
            names.for_each(|name| _ = command.env_remove(name));
        }
        let mut command = ended_with_launcher(command);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        // Of its own group, so that the terminal's Ctrl-C reaches only this launcher.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let spawn = || command.spawn().context("cannot start a launcher for a run");
        Ok(Run { child: slot.bound(spawn)? })
    }

    /// The arguments of `launcher run`.
    fn arguments(&self, trial: &Prepared, name: &str, slot: &Slot) -> Vec<String> {
        let text = |path: PathBuf| path.display().to_string();
        let quoted = |path: PathBuf| toml_string(&text(path));
        let mut arguments: Vec<String> = vec!["run".into(), "--config".into(), text(self.folder.recipe())];
        for option in trial.options() {
            arguments.push(format!("--set={option}"));
        }
        arguments.push(format!("--set=run.folder={}", quoted(self.folder.runs())));
        for (option, value) in [("--resume", "auto"), ("--name", name), ("--back-off", "1")] {
            arguments.extend([option.to_owned(), value.to_owned()]);
        }
        arguments.extend(["--max-restarts".to_owned(), self.max_restarts.to_string()]);
        arguments.extend(slot.options(self.ranks));
        let RunOptions { programs, allow_run_as_root } = self.options;
        let named = [
            ("--mpirun", programs.mpirun.clone().map(text)),
            ("--trainer", programs.trainer.clone().map(text)),
            ("--interface", programs.interface.clone()),
        ];
        for (option, value) in named {
            arguments.extend(value.map(|value| format!("{option}={value}")));
        }
        arguments.extend(allow_run_as_root.then(|| "--allow-run-as-root".to_owned()));
        if !programs.extra.is_empty() {
            arguments.push("--".into());
            arguments.extend(programs.extra.iter().cloned());
        }
        arguments
    }
}

/// Writes text as a TOML string.
fn toml_string(text: &str) -> String {
    // JSON's escapes are TOML's, too.
    serde_json::Value::from(text).to_string()
}

impl Run {
    /// Returns the exit code if the run has ended: that of the launcher, or 128 and the signal that ended it, as in shells.
    ///
    /// # Errors
    /// If its state cannot be read.
    pub(crate) fn try_wait(&mut self) -> Result<Option<i32>> {
        use std::os::unix::process::ExitStatusExt;
        let status = self.child.try_wait().context("cannot wait for a run")?;
        Ok(status.map(|status| status.code().unwrap_or(128 + status.signal().unwrap_or(0))))
    }

    /// Asks the run to save a checkpoint and stop.
    pub(crate) fn stop(&self) {
        _ = kill_process(self.pid(), Signal::TERM);
    }

    /// Kills the run with all of its processes.
    pub(crate) fn kill(&self) {
        process_tree::kill(self.pid());
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.kill();
            _ = self.child.wait();
        }
    }
}
