//! One attempt from its start to its end: passes signals on, and ends what no longer gets on.

use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use regatta_run::ledger::{Snapshot, judge};
use regatta_run::{Attempt, Failure, RunFolder};
use rustix::process::Signal;
use signal_hook::iterator::Signals;

use super::progress::Progress;
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
    /// Somebody asked for it.
    pub(crate) asked: bool,
    /// The launcher did it, for this reason.
    pub(crate) stalled: Option<String>,
    /// How far it was.
    pub(crate) progress: Progress,
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
    let mut standing = Standing::new(Progress::of(folder, started), patience.stall);
    let mut failing = Failing::default();
    let status = loop {
        if let Some(status) = ranks.try_wait()? {
            break status;
        }
        for _ in signals.pending() {
            stopping.ask(&ranks);
        }
        stopping.enforce(&ranks);
        standing.look(&ranks, || Progress::of(folder, started), || who_waits(folder));
        failing.look(&ranks, || a_rank_failed(folder, before));
        std::thread::sleep(POLL);
    };
    ranks.read_to_the_end();
    Ok(Ended {
        status,
        asked: stopping.asked.is_some(),
        stalled: standing.ended_because,
        progress: Progress::of(folder, started),
    })
}

/// A stop that was asked for: the ranks' own signal first, TERM after the grace, then KILL.
struct Stopping {
    signal: Signal,
    grace: Duration,
    asked: Option<Instant>,
    terminated: Option<Instant>,
}

impl Stopping {
    fn new(signal: Signal, grace: Duration) -> Self {
        Self { signal, grace, asked: None, terminated: None }
    }

    fn ask(&mut self, ranks: &Ranks) {
        match self.asked {
            None => {
                eprintln!("launcher: stopping, with a checkpoint; once more to leave at once");
                ranks.signal(self.signal);
                self.asked = Some(Instant::now());
            }
            Some(asked) if asked.elapsed() > SAME_REQUEST => ranks.kill(),
            Some(_) => {}
        }
    }

    fn enforce(&mut self, ranks: &Ranks) {
        match (self.asked, self.terminated) {
            (Some(asked), None) if asked.elapsed() > self.grace => {
                eprintln!("launcher: no end after {} s of grace", self.grace.as_secs_f64());
                ranks.signal(Signal::TERM);
                self.terminated = Some(Instant::now());
            }
            (_, Some(terminated)) if terminated.elapsed() > TEARDOWN => ranks.kill(),
            _ => {}
        }
    }
}

/// How long nothing has moved.
struct Standing {
    patience: Duration,
    progress: Progress,
    since: Instant,
    looked: Instant,
    ended_because: Option<String>,
}

impl Standing {
    fn new(progress: Progress, patience: Duration) -> Self {
        let now = Instant::now();
        Self { patience, progress, since: now, looked: now, ended_because: None }
    }

    fn look(&mut self, ranks: &Ranks, now: impl Fn() -> Progress, who: impl Fn() -> Option<String>) {
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

fn a_rank_failed(folder: &RunFolder, before: Option<u64>) -> bool {
    let newest = Attempt::newest(folder).ok().flatten().filter(|&newest| Some(newest) > before);
    newest.is_some_and(|attempt| Failure::of_attempt(folder, attempt).is_ok_and(|it| !it.is_empty()))
}

/// What the ledgers prove.
fn who_waits(folder: &RunFolder) -> Option<String> {
    judge(&Snapshot::of_run(folder)).map(|verdict| verdict.to_string())
}
