//! The attempts of one job: each started, watched, explained, and the next one decided on.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use regatta_run::{Attempt, AttemptRecord, ExitCode, RunFolder};
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use super::cause::Cause;
use super::command_line::Job;
use super::output::Output;
use super::policy::{Failed, Limits, Next, next};
use super::ranks::Ranks;
use super::watch::{Ended, Patience, watch};
use super::world::shrink;

/// A job and what it is allowed.
pub(crate) struct Supervisor {
    pub(crate) job: Job,
    /// The trainer's arguments from the second start on.
    pub(crate) resumed: Vec<String>,
    pub(crate) folder: RunFolder,
    pub(crate) stop_signal: Signal,
    pub(crate) patience: Patience,
    pub(crate) limits: Limits,
    pub(crate) min_ranks: Option<usize>,
}

impl Supervisor {
    /// Runs attempts until one is done, or no other is of use; returns the exit code to end with.
    pub(crate) fn run(mut self) -> Result<u8> {
        let mut signals =
            Signals::new([SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP]).context("cannot watch signals")?;
        let mut history = Vec::new();
        loop {
            let before = self.newest_attempt();
            let (ended, starter) = self.attempt(&mut signals, before)?;
            let code = ended.status.code();
            if code == Some(ExitCode::Done.code()) || code == Some(ExitCode::Preempted.code()) {
                return Ok(code.unwrap_or_default() as u8);
            }
            let attempt = self.newest_attempt().filter(|&newest| Some(newest) > before);
            let cause = Cause::find(&self.folder, attempt, ended.status, &starter, ended.stalled.clone());
            if let Some(attempt) = attempt {
                // A file that cannot be written is not the failure to tell of.
                _ = AttemptRecord::end_as_seen(&self.folder, attempt, &cause.to_string(), cause.code);
            }
            // What the folder of a refused start says is of an earlier one.
            let step = ended.progress.step.filter(|_| attempt.is_some());
            let told = told(&cause, step);
            if ended.asked {
                eprintln!("launcher: stopped before a checkpoint was saved: {told}");
                return Ok(byte(cause.code));
            }
            if attempt > before.map_or(Some(1), |before| Some(before + 1)) {
                eprintln!(
                    "launcher: {told}; another start of this run owns {} now",
                    self.folder.path().display()
                );
                return Ok(ExitCode::Storage.code() as u8);
            }
            history.push(Failed { code: cause.code, step, checkpoint: ended.progress.checkpoint });
            match next(&history, self.limits) {
                Next::GiveUp { why } => {
                    eprintln!("launcher: {told}. Not started again: {why}.");
                    return Ok(byte(cause.code));
                }
                Next::Restart { after } => {
                    self.say_restart(&told, &history, after);
                    if was_asked_within(after, &mut signals) {
                        eprintln!("launcher: stopped between two starts");
                        return Ok(ExitCode::Preempted.code() as u8);
                    }
                    self.prepare_restart()?;
                }
            }
        }
    }

    fn newest_attempt(&self) -> Option<u64> {
        Attempt::newest(&self.folder).ok().flatten()
    }

    /// One attempt, and what the starter itself said.
    fn attempt(&self, signals: &mut Signals, before: Option<u64>) -> Result<(Ended, Vec<String>)> {
        let output = Output::new(self.job.starter.kind, self.folder.clone(), before);
        let ranks = Ranks::start(&self.job.command_line(), &output)?;
        let ended = watch(ranks, signals, self.stop_signal, &self.folder, before, self.patience)?;
        Ok((ended, output.of_starter()))
    }

    fn say_restart(&self, told: &str, history: &[Failed], after: Duration) {
        let from = match history.last().and_then(|last| last.checkpoint) {
            Some(step) => format!("from {}", self.folder.checkpoint(step).display()),
            None => "from the beginning".to_owned(),
        };
        eprintln!(
            "launcher: {told}. Restart {} of {} {from} in {} s.",
            history.len(),
            self.limits.max_restarts,
            after.as_secs_f64()
        );
    }

    /// The next start continues the run, on what is left of the world.
    fn prepare_restart(&mut self) -> Result<()> {
        self.job.arguments.clone_from(&self.resumed);
        if let Some(min_ranks) = self.min_ranks {
            let smaller = shrink(&self.job, min_ranks)?;
            if smaller.ranks < self.job.ranks {
                eprintln!("launcher: goes on with {} of {} ranks", smaller.ranks, self.job.ranks);
            }
            self.job = smaller;
        }
        Ok(())
    }
}

/// The cause, how far the run was, and where to read on.
fn told(cause: &Cause, step: Option<u64>) -> String {
    let step = step.map_or(String::new(), |step| format!(" (step {step})"));
    let log = cause.log.as_ref().map_or(String::new(), |log| format!("; its log: {}", log.display()));
    format!("{cause}{step}{log}")
}

/// Whether a stop was asked for in this time.
fn was_asked_within(time: Duration, signals: &mut Signals) -> bool {
    let until = Instant::now() + time;
    loop {
        if signals.pending().next().is_some() {
            return true;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}

/// A code as a process can end with it.
fn byte(code: i32) -> u8 {
    u8::try_from(code).ok().filter(|&code| code != 0).unwrap_or(ExitCode::Internal.code() as u8)
}
