//! Watches one attempt from start to end: passes signals on, and ends ranks that make no progress.

use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use regatta_ledger::{Snapshot, judge};
use regatta_run_folder::{Attempt, Failure, RunFolder};
use rustix::process::Signal;

use crate::failure::print_status;
use crate::stop::{StopRequest, StopSignals};

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
    /// The request to stop, if there was one; it is forced if the ranks were killed or terminated.
    pub(crate) stop_request: Option<StopRequest>,
    /// Why the launcher ended the ranks, if it did.
    pub(crate) stalled: Option<String>,
    /// Progress at the end.
    pub(crate) progress: RunProgress,
    /// Whether there was progress since the start.
    pub(crate) moved: bool,
}

/// Watches the ranks until they have ended. `before` is the newest attempt before theirs.
///
/// # Errors
/// If the starter cannot be waited for.
pub(crate) fn watch(
    mut ranks: Ranks,
    stop: &mut StopSignals,
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
        match stop.take() {
            Some(request) if request.is_forced => ranks.kill(),
            Some(_) => print_status("stopping with a checkpoint; signal again to stop at once"),
            None => {}
        }
        shutdown.enforce(stop.request(), &ranks, || newest_since(folder, before).is_some());
        stall.check(&ranks, || RunProgress::of(folder, started), || who_waits(folder));
        failure.check(&ranks, || a_rank_failed(folder, before));
        std::thread::sleep(POLL);
    };
    ranks.finish();
    let progress = RunProgress::of(folder, started);
    Ok(Ended {
        status,
        stop_request: stop.request().map(|request| shutdown.outcome(request)),
        stalled: stall.ended_because,
        moved: progress != at_first,
        progress,
    })
}

/// Stops the ranks on request: with their stop signal first, with TERM after the grace period, then with KILL.
struct Shutdown {
    signal: Signal,
    grace: Duration,
    is_passed_on: bool,
    terminated: Option<Instant>,
}

impl Shutdown {
    fn new(signal: Signal, grace: Duration) -> Self {
        Self { signal, grace, is_passed_on: false, terminated: None }
    }

    /// Carries out a request. `have_begun` returns whether all ranks have connected: before that, the starter or a rank may have no
    /// signal handler yet and would be ended by the signal, or there may be no rank to pass it on to.
    fn enforce(&mut self, request: Option<StopRequest>, ranks: &Ranks, have_begun: impl Fn() -> bool) {
        let Some(request) = request else { return };
        if !self.is_passed_on && have_begun() {
            ranks.signal(self.signal);
            self.is_passed_on = true;
        }
        match self.terminated {
            None if request.begun.elapsed() > self.grace => {
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

    fn outcome(&self, request: StopRequest) -> StopRequest {
        StopRequest { is_forced: request.is_forced || self.terminated.is_some(), ..request }
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
