//! The ranks of one attempt as a process: started, signalled, ended.

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

/// A started mpirun or srun, in a process group of its own: the terminal's Ctrl-C reaches the launcher alone.
pub(crate) struct Ranks {
    child: Child,
    readers: Vec<JoinHandle<()>>,
}

impl Ranks {
    /// Starts them.
    pub(crate) fn start(line: &CommandLine, output: &Arc<Output>) -> Result<Self> {
        process_tree::adopt();
        let mut command = dying_with_this_process(line.command());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", line.program))?;
        let out = child.stdout.take().map(|source| output.relay(source, Stream::Out));
        let err = child.stderr.take().map(|source| output.relay(source, Stream::Err));
        Ok(Self { child, readers: out.into_iter().chain(err).collect() })
    }

    /// To the starter alone, which passes it on. One that is gone is not told.
    pub(crate) fn signal(&self, signal: Signal) {
        _ = kill_process(self.pid(), signal);
    }

    /// Ends everything on this host at once. Ranks have process groups of their own, and without this would take a second to
    /// notice that mpirun is gone.
    pub(crate) fn kill(&self) {
        process_tree::kill(self.pid());
        // Whose parent is gone is in the group still.
        _ = kill_process_group(self.pid(), Signal::KILL);
    }

    /// How it ended, if it has.
    pub(crate) fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot wait for the ranks")
    }

    /// Reads the rest of what was printed, once it has ended, and ends ranks that outlived it.
    pub(crate) fn read_to_the_end(mut self) {
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

/// Under util-linux's setpriv, where it is: then ranks do not outlive a launcher that is killed.
fn dying_with_this_process(command: Command) -> Command {
    if !is_on_path("setpriv") {
        return command;
    }
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "TERM"]).arg(command.get_program()).args(command.get_args());
    wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    wrapped
}
