//! The starter process of one attempt: starts, signals and ends its ranks.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::command_line::CommandLine;
use super::mpi::is_on_path;
use super::output::{Output, Stream};
use crate::process_tree;

/// A running mpirun or srun, in its own process group, so that the terminal's Ctrl-C reaches only the launcher.
pub(crate) struct Ranks {
    child: Child,
    readers: Vec<JoinHandle<()>>,
}

impl Ranks {
    /// Starts the ranks and the threads that read their output.
    ///
    /// # Errors
    /// If the starter cannot be started.
    pub(crate) fn start(line: &CommandLine, output: &Arc<Output>) -> Result<Self> {
        process_tree::adopt();
        let mut command = ended_with_launcher(line.command());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", line.program))?;
        let out = child.stdout.take().map(|source| output.relay(source, Stream::Out));
        let err = child.stderr.take().map(|source| output.relay(source, Stream::Err));
        Ok(Self { child, readers: out.into_iter().chain(err).collect() })
    }

    /// Signals the starter, which passes the signal on to its ranks. Does nothing if it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        _ = kill_process(self.pid(), signal);
    }

    /// Kills the starter and all its descendants on this host. Ranks have their own process groups and would otherwise take a
    /// second to notice that mpirun is gone.
    pub(crate) fn kill(&self) {
        process_tree::kill(self.pid());
        // Orphans are no descendants any more, but still in the group.
        _ = kill_process_group(self.pid(), Signal::KILL);
    }

    /// The starter's exit status, if it has ended.
    ///
    /// # Errors
    /// If its state cannot be read.
    pub(crate) fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot wait for the ranks")
    }

    /// Reads the rest of the output of a starter that has ended, and kills ranks that outlived it.
    pub(crate) fn finish(mut self) {
        for reader in self.readers.drain(..) {
            _ = reader.join();
        }
        process_tree::kill_adopted();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Ranks {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.kill();
            _ = self.child.wait();
        }
    }
}

/// Wraps the command in util-linux's setpriv, if present, so that ranks do not outlive a launcher that is killed.
pub(crate) fn ended_with_launcher(command: Command) -> Command {
    if !is_on_path("setpriv") {
        return command;
    }
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "TERM"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}
