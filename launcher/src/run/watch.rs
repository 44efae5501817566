//! Watches one attempt from start to end: passes signals on, and ends ranks that make no progress.

use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use regatta_ledger::{Snapshot, judge};
use regatta_run_folder::{Attempt, Failure, RunFolder};
use rustix::process::Signal;
use signal_hook::iterator::Signals;

use crate::failure::print_status;

use super::progress::RunProgress;
use super::ranks::Ranks;

/// Interval at which the ranks' process is polled.
const POLL: Duration = Duration::from_millis(50);
/// Interval at which the run folder is read, which may be on a network file system.
const FOLDER_POLL: Duration = Duration::from_secs(2);
/// Time between TERM and KILL: mpirun needs some seconds to end its ranks.
const TEARDOWN: Duration = Duration::from_secs(10);
/// Time from a rank's recorded failure to killing the starter: mpirun waits forever for a host that is cut off.
const TEARDOWN_AFTER_FAILURE: Duration = Duration::from_secs(15);
/// Signals within this time count as one request.
const SAME_REQUEST: Duration = Duration::from_millis(200);

/// Time limits for the ranks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Time to save a checkpoint after a stop request.
    pub(crate) grace: Duration,
    /// Longest time without progress.
    pub(crate) stall: Duration,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// The request to stop, if there was one.
    pub(crate) stop_request: Option<StopRequest>,
    /// Why the launcher ended the ranks, if it did.
    pub(crate) stalled: Option<String>,
    /// Progress at the end.
    pub(crate) progress: RunProgress,
    /// Whether there was progress since the start.
    pub(crate) moved: bool,
}

/// A request to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StopRequest {
    /// The signal that the launcher received; the second one if two requests came.
    pub(crate) signal: i32,
    /// Whether the ranks were killed or terminated: the grace period was over, or a second request came.
    pub(crate) is_forced: bool,
}

/// Watches the ranks until they have ended. `before` is the newest attempt before theirs.
///
/// # Errors
/// If the starter cannot be waited for.
pub(crate) fn watch(
    mut ranks: Ranks,
    signals: &mut Signals,
    stop_signal: Signal,
    folder: &RunFolder,
    before: Option<u64>,
    patience: Patience,
) -> Result<Ended> {
    let started = SystemTime::now();
    let mut shutdown = Shutdown::new(stop_signal, patience.grace);
    let at_first = RunProgress::of(folder, started);
    let mut stall = StallDetector::new(at_first.clone(), patience.stall);
    let mut failure = FailureDetector::default();
    let status = loop {
        if let Some(status) = ranks.try_wait()? {
            break status;
        }
        for signal in signals.pending() {
            shutdown.request(signal, &ranks);
        }
        shutdown.enforce(&ranks, || newest_since(folder, before).is_some());
        stall.check(&ranks, || RunProgress::of(folder, started), || who_waits(folder));
        failure.check(&ranks, || a_rank_failed(folder, before));
        std::thread::sleep(POLL);
    };
    ranks.finish();
    let progress = RunProgress::of(folder, started);
    Ok(Ended {
        status,
        stop_request: shutdown.outcome(),
        stalled: stall.ended_because,
        moved: progress != at_first,
        progress,
    })
}

/// Stops the ranks on request: with their stop signal first, with TERM after the grace period, then with KILL.
struct Shutdown {
    signal: Signal,
    grace: Duration,
    asked: Option<(i32, Instant)>,
    is_passed_on: bool,
    terminated: Option<Instant>,
    /// Signal of the second request, which kills the ranks at once.
    second_signal: Option<i32>,
}

impl Shutdown {
    fn new(signal: Signal, grace: Duration) -> Self {
        Self { signal, grace, asked: None, is_passed_on: false, terminated: None, second_signal: None }
    }

    fn request(&mut self, signal: i32, ranks: &Ranks) {
        match self.asked {
            None => {
                print_status("stopping with a checkpoint; signal again to stop at once");
                self.asked = Some((signal, Instant::now()));
            }
            Some((_, asked)) if asked.elapsed() > SAME_REQUEST => {
                self.second_signal = Some(signal);
                ranks.kill();
            }
            Some(_) => {}
        }
    }

    /// Carries out a request. `have_begun` returns whether all ranks have connected: before that, the starter or a rank may have no
    /// signal handler yet and would be ended by the signal, or there may be no rank to pass it on to.
    fn enforce(&mut self, ranks: &Ranks, have_begun: impl Fn() -> bool) {
        let Some((_, asked)) = self.asked else { return };
        if !self.is_passed_on && have_begun() {
            ranks.signal(self.signal);
            self.is_passed_on = true;
        }
        match self.terminated {
            None if asked.elapsed() > self.grace => {
                print_status(format_args!(
                    "ranks did not stop within {} s (--grace), terminating them",
                    self.grace.as_secs_f64()
                ));
                ranks.signal(Signal::TERM);
                self.terminated = Some(Instant::now());
            }
            Some(terminated) if terminated.elapsed() > TEARDOWN => ranks.kill(),
            _ => {}
        }
    }

    fn outcome(&self) -> Option<StopRequest> {
        let (first, _) = self.asked?;
        let is_forced = self.second_signal.is_some() || self.terminated.is_some();
        Some(StopRequest { signal: self.second_signal.unwrap_or(first), is_forced })
    }
}

/// Ends ranks that make no progress for `patience`.
struct StallDetector {
    patience: Duration,
    progress: RunProgress,
    since: Instant,
    checked: Instant,
    ended_because: Option<String>,
}

impl StallDetector {
    fn new(progress: RunProgress, patience: Duration) -> Self {
        let now = Instant::now();
        Self { patience, progress, since: now, checked: now, ended_because: None }
    }

    fn check(&mut self, ranks: &Ranks, now: impl Fn() -> RunProgress, who: impl Fn() -> Option<String>) {
        if self.checked.elapsed() < FOLDER_POLL.min(self.patience) {
            return;
        }
        self.checked = Instant::now();
        let progress = now();
        if progress != self.progress {
            (self.progress, self.since) = (progress, Instant::now());
        } else if self.since.elapsed() > self.patience && self.ended_because.is_none() {
            let who = who().map_or_else(String::new, |who| format!("; {who}"));
            let stood = self.patience.as_secs_f64();
            self.ended_because = Some(format!("no progress for {stood} s (--stall-timeout){who}"));
            ranks.kill();
        }
    }
}

/// Ends a starter that does not end by itself after a rank has recorded a failure.
#[derive(Default)]
struct FailureDetector {
    checked: Option<Instant>,
    since: Option<Instant>,
}

impl FailureDetector {
    fn check(&mut self, ranks: &Ranks, has_failed: impl Fn() -> bool) {
        match self.since {
            Some(since) if since.elapsed() > TEARDOWN_AFTER_FAILURE => ranks.kill(),
            Some(_) => {}
            None if self.checked.is_some_and(|checked| checked.elapsed() < FOLDER_POLL) => {}
            None => {
                self.checked = Some(Instant::now());
                self.since = has_failed().then(Instant::now);
            }
        }
    }
}

fn newest_since(folder: &RunFolder, before: Option<u64>) -> Option<u64> {
    Attempt::newest(folder).ok().flatten().filter(|&newest| Some(newest) > before)
}

fn a_rank_failed(folder: &RunFolder, before: Option<u64>) -> bool {
    newest_since(folder, before)
        .is_some_and(|attempt| Failure::of_attempt(folder, attempt).is_ok_and(|it| !it.is_empty()))
}

/// Which ranks wait for which, if the ledgers prove it.
fn who_waits(folder: &RunFolder) -> Option<String> {
    judge(&Snapshot::of_run(folder)).map(|verdict| verdict.to_string())
}
