//! The watchdog thread: reports the rank that is behind when a collective takes too long, and ranks that call different
//! collectives as soon as two ledgers show it.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use regatta_ledger::{
    Entry, LOCAL_MEMORY, Ledger, Snapshot, Verdict, judge, mismatch, name_in_memory, publish_leftover,
};
use regatta_run_folder::{Attempt, ExitCode, RunFolder, StorageError, describe, host_name};
use serde::{Deserialize, Serialize};

use crate::blocked::blocked_in;
use crate::nccl_lane::NcclLane;
use crate::{CommError, World, end_job, exit_after};

/// Interval between two checks of the ledger.
const POLL: Duration = Duration::from_millis(100);
/// Interval between two published copies of the ledger.
const PUBLISH: Duration = Duration::from_secs(2);
/// Time for the other ranks to publish the collective that they wait in, before their copies are read.
const OTHERS_PUBLISH: Duration = Duration::from_secs(3);
/// Longest time for aborting NCCL.
const ABORT: Duration = Duration::from_secs(3);
/// Time that the watchdog has after the timeout to report what it found.
const LAST_RESORT: Duration = Duration::from_secs(60);
/// Time that the reporting rank has to end the job.
const REPORTER_ENDS: Duration = Duration::from_secs(5);
/// Longest time for everything that a rank does to end: messages, files, aborting NCCL.
const ENDING: Duration = Duration::from_secs(20);
/// Age of the last heartbeat after which the ledger of a process that no longer exists may be removed.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// Reports a failure that the watchdog of `rank` found: in the rank's log, and also on the terminal if `is_reporter` is set.
/// The watchdog then ends the job.
pub type OnFailure = fn(rank: usize, error: &CommError, is_reporter: bool);

/// The threads that watch a world's collectives. Dropping it stops them and removes the ledger.
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    rank: usize,
    timeout: Duration,
    ledger: Arc<Ledger>,
    /// All ranks, in rank order.
    peers: Vec<Peer>,
    /// The run folder and the number of this attempt, set when the attempt owns the folder.
    folder: OnceLock<(RunFolder, u64)>,
    lane: OnceLock<Arc<NcclLane>>,
    stopped: (Mutex<bool>, Condvar),
    on_failure: OnFailure,
}

impl Watchdog {
    /// Creates the ledger of a rank in node-local memory.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub(crate) fn ledger(rank: usize, world_size: usize) -> Result<(Arc<Ledger>, PathBuf), StorageError> {
        remove_leftovers();
        let path = local_path(rank);
        Ok((Arc::new(Ledger::create(&path, rank, world_size)?), path))
    }

    /// Starts watching the collectives of `world`, which are recorded in the `ledger` at `path`. Those that take longer than
    /// `timeout` are a failure. A collective: all ranks must call it.
    ///
    /// # Errors
    /// If the ranks cannot exchange the paths of their ledgers.
    pub(crate) fn watch(
        world: &World,
        ledger: Arc<Ledger>,
        path: PathBuf,
        timeout: Duration,
        on_failure: OnFailure,
    ) -> Result<Self, CommError> {
        let Snapshot { process_id, nonce, .. } = ledger.snapshot();
        let own = Peer { host: host_name(), process: (process_id, nonce), ledger: path };
        let peers = world.gather(&own)?;
        let shared = Arc::new(Shared {
            rank: world.rank(),
            timeout,
            ledger,
            peers,
            folder: OnceLock::new(),
            lane: OnceLock::new(),
            stopped: Default::default(),
            on_failure,
        });
        let (watches, resorts) = (Arc::clone(&shared), Arc::clone(&shared));
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(body).expect("a thread for the watchdog")
        };
        let threads = vec![
            spawn("watchdog", Box::new(move || watches.run())),
            spawn("last resort", Box::new(move || resorts.last_resort())),
        ];
        Ok(Self { shared, threads })
    }

    /// Starts publishing the ledger to the run folder, for as long as `attempt` owns the folder.
    pub(crate) fn publish_to(&self, folder: &RunFolder, attempt: u64) {
        _ = self.shared.folder.set((folder.clone(), attempt));
    }

    /// Starts watching this lane for asynchronous errors; it is aborted on any failure.
    pub(crate) fn watch_lane(&self, lane: &Arc<NcclLane>) {
        _ = self.shared.lane.set(Arc::clone(lane));
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let (stopped, changed) = &self.shared.stopped;
        *stopped.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = true;
        changed.notify_all();
        for thread in self.threads.drain(..) {
            _ = thread.join();
        }
        self.shared.publish();
        self.shared.ledger.remove();
    }
}

/// The time that a collective has been unfinished, not counting time in which this process was stopped by a signal: the
/// other ranks cannot have made progress meanwhile.
#[derive(Default)]
struct Waiting {
    sequence: u64,
    waited: Duration,
    updated_at: Option<Instant>,
}

impl Waiting {
    fn update(&mut self, sequence: Option<u64>) -> Duration {
        let now = Instant::now();
        let since = self.updated_at.replace(now).map_or(Duration::ZERO, |updated_at| now - updated_at);
        match sequence {
            Some(sequence) if sequence == self.sequence => self.waited += since.min(10 * POLL),
            _ => (self.sequence, self.waited) = (sequence.unwrap_or(0), Duration::ZERO),
        }
        self.waited
    }
}

impl Shared {
    fn run(&self) {
        let (mut waiting, mut published) = (Waiting::default(), None::<Instant>);
        while !self.is_stopped_within(POLL) {
            if let Some(Err(error)) = self.lane.get().map(|lane| lane.poll()) {
                self.fail(&error, true);
            }
            self.ledger.beat();
            let own = self.ledger.snapshot();
            let waited = waiting.update(own.oldest_unfinished().map(|entry| entry.sequence));
            if waited >= self.timeout {
                self.report_stall(waiting.sequence, waited);
            }
            if published.is_none_or(|at| at.elapsed() >= PUBLISH) {
                self.publish();
                self.compare_with_the_next_rank(&own);
                self.publish_for_the_next_rank();
                published = Some(Instant::now());
            }
        }
    }

    fn is_stopped_within(&self, time: Duration) -> bool {
        let (stopped, changed) = &self.stopped;
        let stopped = stopped.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let waited = changed.wait_timeout_while(stopped, time, |stopped| !*stopped);
        *waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }

    /// Publishes a copy of the ledger. A failure does not end the run: the next copy may succeed.
    fn publish(&self) {
        self.ledger.beat();
        let Some((folder, attempt)) = self.folder.get() else { return };
        let published = Attempt::newest(folder).and_then(|newest| match newest {
            Some(newest) if newest == *attempt => self.ledger.publish(&folder.ledger(self.rank)),
            _ => Ok(()), // another start of this run owns the folder
        });
        if let Err(error) = published {
            tracing::warn!("cannot publish the ledger: {}", describe(&error));
        }
    }

    fn compare_with_the_next_rank(&self, own: &Snapshot) {
        let next = (self.rank + 1) % own.world_size;
        if let Some(verdict) = self.snapshot_of(next).and_then(|next| mismatch(own, &next)) {
            self.fail(&CommError::Mismatch(verdict.to_string()), true);
        }
    }

    /// Publishes the ledger of the next rank if that rank was killed on this host and so cannot publish it itself. The copy is
    /// for a diagnosis after the job, so errors are ignored.
    fn publish_for_the_next_rank(&self) {
        let next = (self.rank + 1) % self.peers.len();
        let Peer { host, process, ledger } = &self.peers[next];
        let is_gone = !Path::new("/proc").join(process.0.to_string()).exists();
        if let Some((folder, attempt)) = self.folder.get()
            && *host == self.peers[self.rank].host
            && is_gone
            && Attempt::newest(folder).is_ok_and(|newest| newest == Some(*attempt))
            && Snapshot::read(ledger).is_ok_and(|leftover| (leftover.process_id, leftover.nonce) == *process)
        {
            _ = publish_leftover(ledger, &folder.ledger(next));
        }
    }

    /// Reads the ledger of a rank's current process from the memory of this host, which is always up to date, or else the
    /// published copy.
    fn snapshot_of(&self, rank: usize) -> Option<Snapshot> {
        let peer = &self.peers[rank];
        let is_here = peer.host == self.peers[self.rank].host;
        let local = is_here.then(|| Snapshot::read(&peer.ledger).ok()).flatten();
        let published = || Snapshot::read(&self.folder.get()?.0.ledger(rank)).ok();
        local.or_else(published).filter(|found| (found.process_id, found.nonce) == peer.process)
    }

    fn describe_silent(&self, rank: usize, snapshots: &[Snapshot]) -> String {
        let last = snapshots.iter().find(|it| it.rank == rank).and_then(Snapshot::last_entered);
        let last = last.map_or_else(String::new, |last| format!(" (it last entered {last})"));
        format!("rank {rank} on {} gives no sign of life{last}", self.peers[rank].host)
    }

    /// Describes the verdict and, if it can be seen from this host, what blocks the first rank that is behind.
    fn describe_with_cause(&self, verdict: &Verdict) -> String {
        let behind = match verdict {
            Verdict::Behind { ranks, .. } => ranks.first().map(|(rank, ..)| &self.peers[*rank]),
            Verdict::Mismatch { .. } | Verdict::Stuck { .. } => None,
        };
        let here = behind.filter(|peer| peer.host == self.peers[self.rank].host);
        let cause = here.and_then(|peer| blocked_in(peer.process.0));
        cause.map_or_else(|| verdict.to_string(), |cause| format!("{verdict}; {cause}"))
    }

    fn snapshots(&self) -> Vec<Snapshot> {
        (0..self.peers.len()).filter_map(|rank| self.snapshot_of(rank)).collect()
    }

    fn report_stall(&self, sequence: u64, waited: Duration) {
        self.publish();
        let before = self.snapshots();
        let until = Instant::now() + OTHERS_PUBLISH;
        while Instant::now() < until {
            std::thread::sleep(5 * POLL);
            self.publish();
        }
        let own = self.ledger.snapshot();
        let is_same = |entry: &&Entry| entry.sequence == sequence;
        let Some(waits_in) = own.oldest_unfinished().filter(is_same) else { return }; // it has completed meanwhile
        let snapshots = self.snapshots();
        let silent = silent(&before, &snapshots, self.peers.len());
        let cause = if silent.is_empty() {
            judge(&snapshots)
                .map_or_else(|| "all ledgers agree".into(), |verdict| self.describe_with_cause(&verdict))
        } else {
            // A stopped or dead rank is the cause, whichever ranks are ahead of it in the ledgers.
            let silent: Vec<_> = silent.iter().map(|&rank| self.describe_silent(rank, &snapshots)).collect();
            format!("{}; rank {} waits in {waits_in}", silent.join(", "), self.rank)
        };
        let is_waiting = |it: &&Snapshot| it.oldest_unfinished().is_some() && !silent.contains(&it.rank);
        let first_waiting = snapshots.iter().find(is_waiting);
        let is_reporter = first_waiting.is_none_or(|it| it.rank == self.rank);
        self.fail(&CommError::Stalled { waited_s: waited.as_secs(), cause }, is_reporter);
    }

    /// Ends the job from this thread, since the main thread is inside a collective and will not return. A rank that is not the
    /// reporter first leaves this to the reporter.
    fn fail(&self, error: &CommError, is_reporter: bool) -> ! {
        exit_after(ENDING, ExitCode::Communication.code());
        self.publish();
        (self.on_failure)(self.rank, error, is_reporter);
        if !is_reporter {
            std::thread::sleep(REPORTER_ENDS);
            // The reporter has not ended the job, so this rank does.
            (self.on_failure)(self.rank, error, true);
        }
        self.abort_lane();
        end_job(ExitCode::Communication.code())
    }

    /// Aborts NCCL with a time limit: the abort waits for NCCL's threads and for the device, which may not respond.
    fn abort_lane(&self) {
        let Some(lane) = self.lane.get().cloned() else { return };
        let (sender, done) = std::sync::mpsc::channel();
        let abort = move || {
            lane.abort();
            _ = sender.send(());
        };
        if std::thread::Builder::new().name("abort".into()).spawn(abort).is_ok() {
            _ = done.recv_timeout(ABORT);
        }
    }

    /// Ends the job if the watchdog itself hangs, for example on a file system that no longer responds. Touches no file.
    fn last_resort(&self) {
        let mut waiting = Waiting::default();
        while !self.is_stopped_within(POLL) {
            let oldest = self.ledger.snapshot().oldest_unfinished().map(|entry| entry.sequence);
            if waiting.update(oldest) >= self.timeout.saturating_add(LAST_RESORT) {
                end_job(ExitCode::Communication.code());
            }
        }
    }
}

/// Returns the ranks without a heartbeat between two sets of snapshots. A rank without a snapshot may be healthy and is not
/// included.
fn silent(before: &[Snapshot], after: &[Snapshot], world_size: usize) -> Vec<usize> {
    let heartbeat =
        |snapshots: &[Snapshot], rank| snapshots.iter().find(|it| it.rank == rank).map(|it| it.heartbeat_ns);
    let is_silent =
        |&rank: &usize| heartbeat(before, rank).is_some_and(|then| heartbeat(after, rank) == Some(then));
    (0..world_size).filter(is_silent).collect()
}

/// Returns the path of this process's ledger in node-local memory.
fn local_path(rank: usize) -> PathBuf {
    let memory = Path::new(LOCAL_MEMORY);
    let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    // The standard library seeds its hashers at random.
    let random = RandomState::new().build_hasher().finish() as u32;
    folder.join(name_in_memory(std::process::id(), random, rank))
}

/// Removes the ledgers of dead processes: those without a recent heartbeat whose process ID is not in use.
fn remove_leftovers() {
    let folder = local_path(0);
    let Some(Ok(entries)) = folder.parent().map(std::fs::read_dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix("regatta-")?.split_once('-'));
        let is_unused = process.is_some_and(|(id, _)| !Path::new("/proc").join(id).exists());
        if is_unused && Snapshot::read(&entry.path()).is_ok_and(|it| it.silent_for() > LEFT_BEHIND) {
            _ = std::fs::remove_file(entry.path());
        }
    }
}

/// A rank's process and the path of its ledger.
#[derive(Debug, Serialize, Deserialize)]
struct Peer {
    host: String,
    /// Process ID and random number.
    process: (u32, u32),
    /// Path in the memory of its host.
    ledger: PathBuf,
}
