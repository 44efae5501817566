//! The ranks of one attempt as a process: started, signalled, ended.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::command_line::CommandLine;
use super::output::{Output, Stream};

/// A started mpirun or srun, in a process group of its own: the terminal's Ctrl-C reaches the launcher alone.
pub(crate) struct Ranks {
    child: Child,
    readers: Vec<JoinHandle<()>>,
}

impl Ranks {
    /// Starts them.
    pub(crate) fn start(line: &CommandLine, output: &Arc<Output>) -> Result<Self> {
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
        let descendants = descendants(self.pid());
        _ = kill_process_group(self.pid(), Signal::KILL);
        for process in descendants {
            _ = kill_process(process, Signal::KILL);
        }
    }

    /// How it ended, if it has.
    pub(crate) fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot wait for the ranks")
    }

    /// Reads the rest of what was printed, once it has ended.
    pub(crate) fn read_to_the_end(mut self) {
        for reader in self.readers.drain(..) {
            _ = reader.join();
        }
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

/// The processes that a process started, and those that they did.
fn descendants(of: Pid) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: Vec<(i32, i32)> = numbers.filter_map(|process| Some((process, parent(process)?))).collect();
    let mut found = vec![of.as_raw_nonzero().get()];
    let mut looked_at = 0;
    while let Some(&parent) = found.get(looked_at) {
        found.extend(parents.iter().filter(|&&(_, its)| its == parent).map(|&(process, _)| process));
        looked_at += 1;
    }
    found.into_iter().skip(1).filter_map(Pid::from_raw).collect()
}

fn parent(process: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program stands in parentheses and may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Under util-linux's setpriv, where it is: then ranks do not outlive a launcher that is killed.
fn dying_with_this_process(command: Command) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| Path::join(&folder, "setpriv").is_file());
    if !is_there {
        return command;
    }
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "TERM"]).arg(command.get_program()).args(command.get_args());
    wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    wrapped
}
