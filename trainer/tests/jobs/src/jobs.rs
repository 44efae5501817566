//! Starts trainers, alone or on MPI ranks, and launchers, with a time limit; no process outlives its test.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use regatta_ledger::LOCAL_MEMORY;
use regatta_run_folder::RunFolder;
use tempfile::{NamedTempFile, TempDir};

use crate::mpi::{mpi_settings, mpirun, scrub};

/// Time limit of one command, on a machine that has other work too.
const LIMIT: Duration = Duration::from_secs(120);
/// Environment variable that marks every process of a job, wherever it is in the process tree.
const MARK: &str = "REGATTA_TEST_JOB";

/// A working folder with `recipe.toml` in it; runs go to `runs`.
pub struct Workdir {
    folder: TempDir,
    /// All processes of its jobs that were observed so far.
    observed: Rc<RefCell<BTreeSet<u32>>>,
}

impl Workdir {
    /// Creates the folder with this recipe.
    pub fn new(recipe: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
        Self { folder, observed: Rc::default() }
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the run with this name.
    pub fn run(&self, name: &str) -> RunFolder {
        RunFolder::new(self.path().join("runs"), name)
    }

    /// `trainer ARGUMENTS`, without a launcher.
    pub fn trainer(&self, arguments: &[&str]) -> Job<'_> {
        let arguments = arguments.iter().map(|argument| argument.to_string()).collect();
        Job {
            workdir: self,
            program: built("trainer"),
            arguments,
            ranks: None,
            wrapper: Vec::new(),
            variables: Vec::new(),
            rank_variables: Vec::new(),
        }
    }

    /// `launcher ARGUMENTS`, separated by spaces.
    pub fn launcher(&self, arguments: &str) -> Job<'_> {
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        Job { program: built("launcher"), ..self.trainer(&arguments) }
    }

    /// `trainer --config recipe.toml OPTIONS`, where `options` are separated by spaces and a word with an equals sign
    /// becomes the value of a `--set`.
    pub fn train(&self, options: &str) -> Job<'_> {
        let mut job = self.trainer(&["--config", "recipe.toml"]);
        for option in options.split_whitespace() {
            if option.contains('=') {
                job.arguments.push("--set".to_owned());
            }
            job.arguments.push(option.to_owned());
        }
        job
    }
}

impl Drop for Workdir {
    /// Removes the ledgers that killed ranks leave in the memory of the host.
    fn drop(&mut self) {
        let Ok(entries) = std::fs::read_dir(LOCAL_MEMORY) else { return };
        let is_observed = |name: &str| {
            let process = name.strip_prefix("regatta-").and_then(|rest| rest.split('-').next());
            process
                .and_then(|process| process.parse().ok())
                .is_some_and(|pid| self.observed.borrow().contains(&pid))
        };
        for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_observed)) {
            _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The path of a binary of this workspace, in the parent folder of the running test's.
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join(name)
}

/// A command that has not been started.
pub struct Job<'a> {
    workdir: &'a Workdir,
    program: PathBuf,
    arguments: Vec<String>,
    ranks: Option<usize>,
    wrapper: Vec<String>,
    variables: Vec<(String, String)>,
    rank_variables: Vec<(usize, String)>,
}

impl Job<'_> {
    /// Starts the command on `ranks` ranks of mpirun.
    pub fn ranks(mut self, ranks: usize) -> Self {
        self.ranks = Some(ranks);
        self
    }

    /// Starts `ranks` ranks of mpirun, each through the command line `wrapper`, to which the command is appended.
    pub fn ranks_under(mut self, ranks: usize, wrapper: &[&str]) -> Self {
        self.ranks = Some(ranks);
        self.under(wrapper)
    }

    /// Starts the command through the command line `wrapper`, to which the command is appended.
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|part| (*part).to_owned()).collect();
        self
    }

    /// Sets an environment variable for all ranks.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets an environment variable for one rank.
    pub fn variable_of_rank(mut self, rank: usize, name: &str, value: &str) -> Self {
        self.rank_variables.push((rank, format!("{name}={value}")));
        self
    }

    /// Starts the command.
    pub fn start(self) -> Running {
        let mut command = self.command();
        let output = || NamedTempFile::new().unwrap();
        let (stdout, stderr) = (output(), output());
        scrub(&mut command);
        let mark = format!("{MARK}={}", stdout.path().display());
        let child = command
            .current_dir(self.workdir.path())
            .envs(mpi_settings())
            .envs(self.variables)
            .env(MARK, stdout.path())
            // Killed ranks leave Open MPI's shared memory files; they are removed with the folder.
            .env("OMPI_MCA_btl_vader_backing_directory", self.workdir.path())
            .stdin(Stdio::null())
            .stdout(stdout.reopen().unwrap())
            .stderr(stderr.reopen().unwrap())
            .spawn()
            .unwrap();
        Running { child, stdout, stderr, mark, observed: Rc::clone(&self.workdir.observed) }
    }

    /// Runs the command; it must end with exit code `code`.
    pub fn ends_with(self, code: i32) -> Ended {
        let ended = self.start().wait();
        assert_eq!(ended.code, Some(code), "{ended}");
        ended
    }

    /// The command line. Ranks with variables of their own are separate contexts of mpirun, separated by colons.
    fn command(&self) -> Command {
        let trainer = self.program.to_str().unwrap();
        let Some(ranks) = self.ranks else {
            let mut line = self.wrapper.iter().map(String::as_str).chain([trainer]);
            let mut command = Command::new(line.next().unwrap());
            command.args(line).args(&self.arguments);
            return command;
        };
        let mut command = Command::new(mpirun());
        if self.rank_variables.is_empty() {
            command.args(["-n", &ranks.to_string()]).args(&self.wrapper).arg(trainer).args(&self.arguments);
            return command;
        }
        for rank in 0..ranks {
            let own = self.rank_variables.iter().filter(|(of, _)| *of == rank);
            command.args(["-n", "1", "env"]).args(own.map(|(_, variable)| variable));
            command.arg(trainer).args(&self.arguments);
            command.args((rank + 1 < ranks).then_some(":"));
        }
        command
    }
}

/// A started command; killed with all its processes when dropped.
pub struct Running {
    child: Child,
    stdout: NamedTempFile,
    stderr: NamedTempFile,
    mark: String,
    /// The observed processes, shared with the working folder.
    observed: Rc<RefCell<BTreeSet<u32>>>,
}

impl Running {
    /// Sends a signal, named as `kill` names it, to the process that was started: the trainer, or mpirun.
    pub fn signal(&self, signal: &str) {
        kill(signal, &[self.child.id()]);
    }

    /// Sends a signal to one rank of the job and returns its process id.
    pub fn signal_rank(&self, signal: &str, rank: usize) -> u32 {
        let pid = self.rank(rank);
        kill(signal, &[pid]);
        pid
    }

    /// Waits until what the command wrote to standard error contains `text`.
    pub fn wait_for_message(&mut self, text: &str) {
        self.wait_until(text, || false, |stderr| stderr.contains(text));
    }

    /// Waits until a file exists and `is_right` holds for its text.
    pub fn wait_for_file(&mut self, file: &Path, is_right: impl Fn(&str) -> bool) {
        let is_so = || std::fs::read_to_string(file).is_ok_and(|text| is_right(&text));
        self.wait_until(&file.display().to_string(), is_so, |_| false);
    }

    /// Waits until a file exists.
    pub fn wait_until_exists(&mut self, file: &Path) {
        self.wait_until(&file.display().to_string(), || file.exists(), |_| false);
    }

    /// The process id of the started command.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until that process has a handler for the named signal.
    pub fn wait_until_handled(&mut self, signal: &str) {
        self.wait_for_signal_set("SigCgt:", signal);
    }

    /// Waits until that process blocks the named signal.
    pub fn wait_until_blocked(&mut self, signal: &str) {
        self.wait_for_signal_set("SigBlk:", signal);
    }

    fn wait_for_signal_set(&mut self, set: &str, signal: &str) {
        let numbers = [("INT", 2), ("USR1", 10), ("USR2", 12), ("TERM", 15)];
        let number =
            numbers.iter().find(|(name, _)| *name == signal).expect("a signal that asks for a stop").1;
        let status = format!("/proc/{}/status", self.child.id());
        let has_it = || {
            let status = std::fs::read_to_string(&status).unwrap_or_default();
            let mask = status.lines().find_map(|line| line.strip_prefix(set));
            mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
                .is_some_and(|mask| mask >> (number - 1) & 1 == 1)
        };
        self.wait_until(&format!("{signal} in {set}"), has_it, |_| false);
    }

    /// Waits until the job has at least `number` processes.
    pub fn wait_for_processes(&mut self, number: usize) {
        let (mark, observed) = (self.mark.clone(), Rc::clone(&self.observed));
        let are_there = || marked(&mark, &observed).len() >= number;
        self.wait_until(&format!("{number} processes"), are_there, |_| false);
    }

    /// Waits until these processes of the job have ended, also as zombies.
    pub fn wait_until_gone(&mut self, pids: &[u32]) {
        // A process that has ended has no environment.
        let mark = self.mark.clone();
        let are_gone = || !pids.iter().any(|&pid| environment(pid).any(|entry| entry == mark));
        self.wait_until(&format!("end of the processes {pids:?}"), are_gone, |_| false);
    }

    /// The process id of one rank of the job.
    pub fn rank(&self, rank: usize) -> u32 {
        let variable = format!("OMPI_COMM_WORLD_RANK={rank}");
        let is_rank = |pid: &u32| environment(*pid).any(|entry| entry == variable);
        let pids: Vec<_> = self.processes().into_iter().filter(is_rank).collect();
        assert_eq!(pids.len(), 1, "rank {rank} is one process");
        pids[0]
    }

    fn wait_until(&mut self, what: &str, is_so: impl Fn() -> bool, is_written: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !is_so() && !is_written(&read(&self.stderr)) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended before {what}: {ended:?}\n{}", read(&self.stderr));
            assert!(Instant::now() < deadline, "no {what} in {LIMIT:?}\n{}", read(&self.stderr));
            pause();
        }
    }

    /// Waits until the command ends. At the time limit everything is killed and there is no exit code.
    pub fn wait(mut self) -> Ended {
        let deadline = Instant::now() + LIMIT;
        while self.child.try_wait().unwrap().is_none() && Instant::now() < deadline {
            pause();
        }
        let code = self.child.try_wait().unwrap().and_then(|status| status.code());
        Ended { code, stdout: read(&self.stdout), stderr: read(&self.stderr), left: self.processes() }
    }

    /// Every live process of this job.
    pub fn processes(&self) -> Vec<u32> {
        marked(&self.mark, &self.observed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut rest = self.processes();
        while !rest.is_empty() {
            kill("KILL", &rest);
            _ = self.child.wait();
            rest = self.processes();
        }
    }
}

/// How a command ended.
pub struct Ended {
    /// The exit code; None if a signal or the time limit ended the command.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Processes of the job that outlived the command.
    pub left: Vec<u32>,
}

impl Ended {
    /// Asserts that the command wrote `text` to standard error.
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} in\n{self}");
        self
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, stdout, stderr, .. } = self;
        write!(formatter, "exit code {code:?}\n--- stdout\n{stdout}--- stderr\n{stderr}")
    }
}

/// The live processes with this mark in their environment, which are added to `observed`.
fn marked(mark: &str, observed: &RefCell<BTreeSet<u32>>) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let pids: Vec<u32> = pids.filter(|&pid| environment(pid).any(|entry| entry == mark)).collect();
    observed.borrow_mut().extend(&pids);
    pids
}

/// The environment that a process was started with; empty for one that has ended.
fn environment(pid: u32) -> impl Iterator<Item = String> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let entries: Vec<_> = bytes.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
    entries.into_iter().filter_map(|entry| String::from_utf8(entry).ok())
}

/// Sends a signal to processes, ignoring those that have ended.
fn kill(signal: &str, pids: &[u32]) {
    let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
    let script = format!("kill -{signal} {} 2>/dev/null", pids.join(" "));
    Command::new("sh").args(["-c", &script]).status().unwrap();
}

fn read(file: &NamedTempFile) -> String {
    String::from_utf8_lossy(&std::fs::read(file.path()).unwrap()).into_owned()
}

/// The pause between two checks of a condition.
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
