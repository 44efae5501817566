//! Supervises the attempts of one job: starts and watches each, explains its end and decides on the next.

use std::time::{Duration, Instant};

use anyhow::Result;
use regatta_run_folder::{Attempt, AttemptRecord, ExitCode, RunFolder};
use rustix::process::Signal;

use crate::failure::print_status;
use crate::stop::{StopRequest, StopSignals};

use super::cause::Cause;
use super::command_line::Job;
use super::gpus;
use super::output::{AttemptOutput, Output};
use super::policy::{Failed, Limits, Next, next};
use super::ranks::Ranks;
use super::scratch::Scratch;
use super::watch::{Ended, Patience, watch};
use super::world::shrink;

/// A job with its limits.
pub(crate) struct Supervisor {
    pub(crate) job: Job,
    /// The trainer's arguments from the second attempt on.
    pub(crate) resumed: Vec<String>,
    pub(crate) folder: RunFolder,
    pub(crate) stop_signal: Signal,
    pub(crate) patience: Patience,
    pub(crate) limits: Limits,
    pub(crate) min_ranks: Option<usize>,
}

impl Supervisor {
    /// Runs attempts until one is done or the policy gives up. Returns the launcher's exit code.
    ///
    /// # Errors
    /// If ranks cannot be started or waited for, or too few remain for `--min-ranks`.
    pub(crate) fn run(mut self, mut stop: StopSignals) -> Result<u8> {
        let mut history = Vec::new();
        let mut has_begun = false;
        loop {
            if let Some(request) = stop.take() {
                return Ok(stopped_between(request, has_begun));
            }
            let before = self.newest_attempt();
            let (ended, output) = self.attempt(&mut stop, before)?;
            let newest = self.newest_attempt().filter(|&newest| Some(newest) > before);
            let attempt = newest.filter(|&newest| AttemptRecord::read(&self.folder.attempt(newest)).is_ok());
            has_begun |= attempt.is_some();
            if let Some(code) = self.successful_end(&ended, attempt) {
                return Ok(code);
            }
            let cause = Cause::find(&self.folder, attempt, ended.status, &output, ended.stalled.clone());
            if let Some(attempt) = attempt {
                // Failing to write the record must not hide the attempt's own failure.
                _ = AttemptRecord::end_as_seen(&self.folder, attempt, &cause.to_string(), cause.code);
            }
            let step = step_of(&ended, attempt, cause.code);
            let failure = describe(&cause, step);
            if let Some(request) = ended.stop_request {
                return Ok(stopped(request, &cause, &failure, attempt));
            }
            if newest > before.map_or(Some(1), |before| Some(before + 1)) {
                print_status(format_args!(
                    "{failure}; another start of this run owns {} now",
                    self.folder.path().display()
                ));
                return Ok(ExitCode::Storage.code() as u8);
            }
            history.push(Failed { code: cause.code, step, checkpoint: ended.progress.checkpoint });
            match next(&history, self.limits) {
                Next::GiveUp { why } => {
                    print_status(format_args!("{failure}. Not restarted: {why}."));
                    return Ok(byte(cause.code));
                }
                Next::Restart { after } => {
                    self.report_restart(&failure, &history, after);
                    if let Some(request) = stop_request_within(after, &mut stop) {
                        return Ok(stopped_between(request, has_begun));
                    }
                    self.prepare_restart()?;
                }
            }
        }
    }

    /// The exit code of an attempt that is done or was stopped with a checkpoint. An mpirun that another process terminated does not
    /// return its ranks' exit code, but they have recorded it.
    fn successful_end(&self, ended: &Ended, attempt: Option<u64>) -> Option<u8> {
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

    /// Runs one attempt and returns its outcome and output.
    fn attempt(&self, stop: &mut StopSignals, before: Option<u64>) -> Result<(Ended, AttemptOutput)> {
        let output = Output::new(self.job.starter.kind, self.folder.clone(), before);
        let scratch = Scratch::of(&self.job);
        let mut line = self.job.command_line();
        line.variables.extend(scratch.variables());
        let ranks = Ranks::start(&line, &output)?;
        let ended = watch(ranks, stop, self.stop_signal, &self.folder, before, self.patience)?;
        Ok((ended, output.summary()))
    }

    fn report_restart(&self, failure: &str, history: &[Failed], after: Duration) {
        let from = match history.last().and_then(|last| last.checkpoint) {
            Some(step) => format!("from {}", self.folder.checkpoint(step).display()),
            None => "from the beginning".to_owned(),
        };
        print_status(format_args!(
            "{failure}. Restart {} of {} {from} in {} s.",
            history.len(),
            self.limits.max_restarts,
            after.as_secs_f64()
        ));
    }

    /// Makes the next attempt resume the run, with `--min-ranks` on the remaining hosts and GPUs.
    fn prepare_restart(&mut self) -> Result<()> {
        self.job.arguments.clone_from(&self.resumed);
        if let Some(min_ranks) = self.min_ranks {
            let smaller = shrink(&self.job, gpus::present(), min_ranks)?;
            if smaller.ranks < self.job.ranks {
                print_status(format_args!("continuing with {} of {} ranks", smaller.ranks, self.job.ranks));
            }
            self.job = smaller;
        }
        Ok(())
    }
}

/// Describes the cause, the step and the log file to read.
fn describe(cause: &Cause, step: Option<u64>) -> String {
    let step = step.map_or(String::new(), |step| format!(" (step {step})"));
    let log = cause.log.as_ref().map_or(String::new(), |log| format!("; its log: {}", log.display()));
    format!("{cause}{step}{log}")
}

/// The step that the attempt was in. None if no attempt began (the folder then describes an earlier one), and if storage failed
/// without progress: that is not the fault of the step that was logged last.
fn step_of(ended: &Ended, attempt: Option<u64>, code: i32) -> Option<u64> {
    let has_moved = code != ExitCode::Storage.code() || ended.moved;
    ended.progress.step.filter(|_| attempt.is_some() && has_moved)
}

/// The exit code after a stop request that ended without a checkpoint of the last step: that of the failure in between, or
/// 128 + signal, as in shells. If no attempt began, nothing is lost.
fn stopped(request: StopRequest, cause: &Cause, failure: &str, attempt: Option<u64>) -> u8 {
    match (request.is_forced, attempt) {
        (true, None) => {
            print_status("stopped before the first step");
            ExitCode::Preempted.code() as u8
        }
        (is_forced, _) => {
            print_status(format_args!("stopped before a checkpoint was saved: {failure}"));
            byte(if is_forced { 128 + request.signal } else { cause.code })
        }
    }
}

/// The exit code after a stop request between two attempts. After a failure the steps since the last checkpoint are lost.
fn stopped_between(request: StopRequest, has_begun: bool) -> u8 {
    print_status("stopped between two starts");
    byte(if has_begun { 128 + request.signal } else { ExitCode::Preempted.code() })
}

/// Waits for `time`, and returns early with the request if a stop is requested.
fn stop_request_within(time: Duration, stop: &mut StopSignals) -> Option<StopRequest> {
    let until = Instant::now() + time;
    loop {
        if let Some(request) = stop.take() {
            return Some(request);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}

/// Converts a code to one that a failed process can exit with.
fn byte(code: i32) -> u8 {
    u8::try_from(code).ok().filter(|&code| code != 0).unwrap_or(ExitCode::Internal.code() as u8)
}
