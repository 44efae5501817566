//! The attempts of one job: each started, watched, explained, and the next one decided on.

use std::time::{Duration, Instant};

use anyhow::Result;
use regatta_run_folder::{Attempt, AttemptRecord, ExitCode, RunFolder};
use rustix::process::Signal;
use signal_hook::iterator::Signals;

use crate::failure::tell;

use super::cause::Cause;
use super::command_line::Job;
use super::gpus;
use super::output::{Output, Said};
use super::policy::{Failed, Limits, Next, next};
use super::ranks::Ranks;
use super::scratch::Scratch;
use super::watch::{Asked, Ended, Patience, watch};
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
    pub(crate) fn run(mut self, mut signals: Signals) -> Result<u8> {
        let mut history = Vec::new();
        let mut has_begun = false;
        loop {
            if let Some(signal) = signals.pending().next() {
                return Ok(stopped_between(signal, has_begun));
            }
            let before = self.newest_attempt();
            let (ended, said) = self.attempt(&mut signals, before)?;
            let newest = self.newest_attempt().filter(|&newest| Some(newest) > before);
            let attempt = newest.filter(|&newest| AttemptRecord::read(&self.folder.attempt(newest)).is_ok());
            has_begun |= attempt.is_some();
            if let Some(code) = self.good_end(&ended, attempt) {
                return Ok(code);
            }
            let cause = Cause::find(&self.folder, attempt, ended.status, &said, ended.stalled.clone());
            if let Some(attempt) = attempt {
                // A file that cannot be written is not the failure to tell of.
                _ = AttemptRecord::end_as_seen(&self.folder, attempt, &cause.to_string(), cause.code);
            }
            let step = step_of(&ended, attempt, cause.code);
            let told = told(&cause, step);
            if let Some(asked) = ended.asked {
                return Ok(stopped(asked, &cause, &told, attempt));
            }
            if newest > before.map_or(Some(1), |before| Some(before + 1)) {
                tell(format_args!(
                    "{told}; another start of this run owns {} now",
                    self.folder.path().display()
                ));
                return Ok(ExitCode::Storage.code() as u8);
            }
            history.push(Failed { code: cause.code, step, checkpoint: ended.progress.checkpoint });
            match next(&history, self.limits) {
                Next::GiveUp { why } => {
                    tell(format_args!("{told}. Not started again: {why}."));
                    return Ok(byte(cause.code));
                }
                Next::Restart { after } => {
                    self.say_restart(&told, &history, after);
                    if let Some(signal) = asked_within(after, &mut signals) {
                        return Ok(stopped_between(signal, has_begun));
                    }
                    self.prepare_restart()?;
                }
            }
        }
    }

    /// The exit code of an attempt that is done or was stopped with a checkpoint. An mpirun that was told by somebody else to end
    /// does not pass its ranks' code on, but they have recorded it.
    fn good_end(&self, ended: &Ended, attempt: Option<u64>) -> Option<u8> {
        let good = [ExitCode::Done, ExitCode::Preempted].map(ExitCode::code);
        let of_starter = ended.status.code().filter(|code| good.contains(code));
        let recorded = || {
            let end = AttemptRecord::read(&self.folder.attempt(attempt?)).ok()?.end?;
            Some(end.exit_code).filter(|&code| code == ExitCode::Preempted.code())
        };
        of_starter.or_else(recorded).map(|code| code as u8)
    }

    fn newest_attempt(&self) -> Option<u64> {
        Attempt::newest(&self.folder).ok().flatten()
    }

    /// One attempt, and what was printed in it.
    fn attempt(&self, signals: &mut Signals, before: Option<u64>) -> Result<(Ended, Said)> {
        let output = Output::new(self.job.starter.kind, self.folder.clone(), before);
        let scratch = Scratch::of(&self.job);
        let mut line = self.job.command_line();
        line.variables.extend(scratch.variables());
        let ranks = Ranks::start(&line, &output)?;
        let ended = watch(ranks, signals, self.stop_signal, &self.folder, before, self.patience)?;
        Ok((ended, output.said()))
    }

    fn say_restart(&self, told: &str, history: &[Failed], after: Duration) {
        let from = match history.last().and_then(|last| last.checkpoint) {
            Some(step) => format!("from {}", self.folder.checkpoint(step).display()),
            None => "from the beginning".to_owned(),
        };
        tell(format_args!(
            "{told}. Restart {} of {} {from} in {} s.",
            history.len(),
            self.limits.max_restarts,
            after.as_secs_f64()
        ));
    }

    /// The next start continues the run, on what is left of the world.
    fn prepare_restart(&mut self) -> Result<()> {
        self.job.arguments.clone_from(&self.resumed);
        if let Some(min_ranks) = self.min_ranks {
            let smaller = shrink(&self.job, gpus::present(), min_ranks)?;
            if smaller.ranks < self.job.ranks {
                tell(format_args!("goes on with {} of {} ranks", smaller.ranks, self.job.ranks));
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

/// The step that the attempt was in. What the folder of a refused start says is of an earlier one, and a folder that cannot be
/// read or written is not the fault of the step that was logged last.
fn step_of(ended: &Ended, attempt: Option<u64>, code: i32) -> Option<u64> {
    let has_moved = code != ExitCode::Storage.code() || ended.moved;
    ended.progress.step.filter(|_| attempt.is_some() && has_moved)
}

/// The exit code where a stop was asked for and no checkpoint of the last step is there: that of the failure that came between,
/// or else, as a shell tells it, of the signal. Where no step was taken nothing is lost.
fn stopped(asked: Asked, cause: &Cause, told: &str, attempt: Option<u64>) -> u8 {
    match (asked.is_forced, attempt) {
        (true, None) => {
            tell("stopped before the first step");
            ExitCode::Preempted.code() as u8
        }
        (is_forced, _) => {
            tell(format_args!("stopped before a checkpoint was saved: {told}"));
            byte(if is_forced { 128 + asked.signal } else { cause.code })
        }
    }
}

/// The exit code where a stop was asked for while nothing ran. After a failure the steps since the last checkpoint are lost.
fn stopped_between(signal: i32, has_begun: bool) -> u8 {
    tell("stopped between two starts");
    byte(if has_begun { 128 + signal } else { ExitCode::Preempted.code() })
}

/// The signal by which a stop was asked for in this time.
fn asked_within(time: Duration, signals: &mut Signals) -> Option<i32> {
    let until = Instant::now() + time;
    loop {
        if let Some(signal) = signals.pending().next() {
            return Some(signal);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}

/// A code as a process can end with it.
fn byte(code: i32) -> u8 {
    u8::try_from(code).ok().filter(|&code| code != 0).unwrap_or(ExitCode::Internal.code() as u8)
}
