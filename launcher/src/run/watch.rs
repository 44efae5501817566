//! One attempt from its start to its end: passes signals on, and ends what no longer gets on.

use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use regatta_ledger::{Snapshot, judge};
use regatta_run_folder::{Attempt, Failure, RunFolder};
use rustix::process::Signal;
use signal_hook::iterator::Signals;

use crate::failure::tell;

use super::progress::RunProgress;
use super::ranks::Ranks;

/// Between two looks at the ranks.
const POLL: Duration = Duration::from_millis(50);
/// Between two looks at the run folder, which may lie on a network file system.
const LOOK: Duration = Duration::from_secs(2);
/// From TERM to KILL: mpirun needs some seconds to take its ranks along.
const TEARDOWN: Duration = Duration::from_secs(10);
/// From a rank's own word that it failed to the end of the starter. mpirun waits without end for a host that is cut off.
const AFTER_A_FAILURE: Duration = Duration::from_secs(15);
/// Signals nearer to each other than this are one.
const SAME_REQUEST: Duration = Duration::from_millis(200);

/// What ranks are given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// To save a checkpoint once they were asked to stop.
    pub(crate) grace: Duration,
    /// To get on.
    pub(crate) stall: Duration,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// Somebody asked for it, and how that came out.
    pub(crate) asked: Option<Asked>,
    /// The launcher did it, for this reason.
    pub(crate) stalled: Option<String>,
    /// How far it was.
    pub(crate) progress: RunProgress,
    /// Something moved in its time.
    pub(crate) moved: bool,
}

/// A request to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// By this signal to the launcher, the last one that counted.
    pub(crate) signal: i32,
    /// The ranks did not end by themselves: the grace was over, or it was asked for twice.
    pub(crate) is_forced: bool,
}

/// Watches the ranks until they have ended. `before` is the newest attempt before theirs.
pub(crate) fn watch(
    mut ranks: Ranks,
    signals: &mut Signals,
    stop_signal: Signal,
    folder: &RunFolder,
    before: Option<u64>,
    patience: Patience,
) -> Result<Ended> {
    let started = SystemTime::now();
    let mut stopping = Stopping::new(stop_signal, patience.grace);
    let at_first = RunProgress::of(folder, started);
    let mut standing = Standing::new(at_first.clone(), patience.stall);
    let mut failing = Failing::default();
    let status = loop {
        if let Some(status) = ranks.try_wait()? {
            break status;
        }
        for signal in signals.pending() {
            stopping.ask(signal, &ranks);
        }
        stopping.enforce(&ranks, || newest_since(folder, before).is_some());
        standing.look(&ranks, || RunProgress::of(folder, started), || who_waits(folder));
        failing.look(&ranks, || a_rank_failed(folder, before));
        std::thread::sleep(POLL);
    };
    ranks.read_to_the_end();
    let progress = RunProgress::of(folder, started);
    Ok(Ended {
        status,
        asked: stopping.outcome(),
        stalled: standing.ended_because,
        moved: progress != at_first,
        progress,
    })
}

/// A stop that was asked for: the ranks' own signal first, TERM after the grace, then KILL.
struct Stopping {
    signal: Signal,
    grace: Duration,
    asked: Option<(i32, Instant)>,
    is_passed_on: bool,
    terminated: Option<Instant>,
    /// By a second request, with this signal.
    left: Option<i32>,
}

impl Stopping {
    fn new(signal: Signal, grace: Duration) -> Self {
        Self { signal, grace, asked: None, is_passed_on: false, terminated: None, left: None }
    }

    fn ask(&mut self, signal: i32, ranks: &Ranks) {
        match self.asked {
            None => {
                tell("stopping, with a checkpoint; once more to leave at once");
                self.asked = Some((signal, Instant::now()));
            }
            Some((_, asked)) if asked.elapsed() > SAME_REQUEST => {
                self.left = Some(signal);
                ranks.kill();
            }
            Some(_) => {}
        }
    }

    /// `have_begun` tells whether the ranks have met: sooner, the starter itself or a rank may have no handler yet, which a signal
    /// ends, or there may be no rank yet to pass it on to.
    fn enforce(&mut self, ranks: &Ranks, have_begun: impl Fn() -> bool) {
        let Some((_, asked)) = self.asked else { return };
        if !self.is_passed_on && have_begun() {
            ranks.signal(self.signal);
            self.is_passed_on = true;
        }
        match self.terminated {
            None if asked.elapsed() > self.grace => {
                tell(format_args!("no end after {} s of grace", self.grace.as_secs_f64()));
                ranks.signal(Signal::TERM);
                self.terminated = Some(Instant::now());
            }
            Some(terminated) if terminated.elapsed() > TEARDOWN => ranks.kill(),
            _ => {}
        }
    }

    fn outcome(&self) -> Option<Asked> {
        let (first, _) = self.asked?;
        let is_forced = self.left.is_some() || self.terminated.is_some();
        Some(Asked { signal: self.left.unwrap_or(first), is_forced })
    }
}

/// How long nothing has moved.
struct Standing {
    patience: Duration,
    progress: RunProgress,
    since: Instant,
    looked: Instant,
    ended_because: Option<String>,
}

impl Standing {
    fn new(progress: RunProgress, patience: Duration) -> Self {
        let now = Instant::now();
        Self { patience, progress, since: now, looked: now, ended_because: None }
    }

    fn look(&mut self, ranks: &Ranks, now: impl Fn() -> RunProgress, who: impl Fn() -> Option<String>) {
        if self.looked.elapsed() < LOOK.min(self.patience) {
            return;
        }
        self.looked = Instant::now();
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

/// Whether a rank has said that it failed, and since when.
#[derive(Default)]
struct Failing {
    looked: Option<Instant>,
    since: Option<Instant>,
}

impl Failing {
    fn look(&mut self, ranks: &Ranks, has_failed: impl Fn() -> bool) {
        match self.since {
            Some(since) if since.elapsed() > AFTER_A_FAILURE => ranks.kill(),
            Some(_) => {}
            None if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) => {}
            None => {
                self.looked = Some(Instant::now());
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

/// What the ledgers prove.
fn who_waits(folder: &RunFolder) -> Option<String> {
    judge(&Snapshot::of_run(folder)).map(|verdict| verdict.to_string())
}
