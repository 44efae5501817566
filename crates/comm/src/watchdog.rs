//! The thread that watches a rank's collectives: it names the rank that is behind when one takes too long, and ranks that
//! call different ones as soon as two ledgers show it.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use regatta_ledger::{
    Entry, LOCAL_MEMORY, Ledger, Snapshot, Verdict, judge, mismatch, name_in_memory, publish_left,
};
use regatta_run_folder::{Attempt, ExitCode, RunFolder, StorageError, describe, host_name};
use serde::{Deserialize, Serialize};

use crate::held_up::held_up_in;
use crate::nccl_lane::NcclLane;
use crate::{CommError, World, end_job, exit_after};

/// Between two looks at the ledger.
const POLL: Duration = Duration::from_millis(100);
/// Between two published copies of it.
const PUBLISH: Duration = Duration::from_secs(2);
/// Given to the other ranks to publish what they wait in, before their copies are read.
const OTHERS_PUBLISH: Duration = Duration::from_secs(3);
/// What NCCL's abort is given.
const ABORT: Duration = Duration::from_secs(3);
/// What the watchdog is given after the time-out to say what it found.
const LAST_RESORT: Duration = Duration::from_secs(60);
/// What the rank that speaks is given to end the job.
const SPEAKER_ENDS: Duration = Duration::from_secs(5);
/// What all that a rank does to end is given: words, files, NCCL's abort.
const ENDING: Duration = Duration::from_secs(20);
/// A ledger whose heart did not beat for so long may be removed, if its process is not there.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// Tells about a failure that the watchdog found on this rank, which is given: in its log, and on the terminal where it is the
/// one to speak. The watchdog then ends the job.
pub type OnFailure = fn(rank: usize, error: &CommError, speaks: bool);

/// The thread that watches a world's collectives. Dropped, it ends and the ledger is removed.
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    rank: usize,
    timeout: Duration,
    ledger: Arc<Ledger>,
    /// By rank.
    peers: Vec<Peer>,
    /// Set once this attempt, by its number, owns the folder.
    folder: OnceLock<(RunFolder, u64)>,
    lane: OnceLock<Arc<NcclLane>>,
    stopped: (Mutex<bool>, Condvar),
    on_failure: OnFailure,
}

impl Watchdog {
    /// Makes a rank's ledger in node-local memory, for a world that is to be watched.
    pub(crate) fn ledger(rank: usize, world_size: usize) -> Result<(Arc<Ledger>, PathBuf), StorageError> {
        remove_leftovers();
        let path = local_path(rank);
        Ok((Arc::new(Ledger::create(&path, rank, world_size)?), path))
    }

    /// Begins to watch `world`, whose collectives are entered in the `ledger` at `path`; every rank comes here. Collectives that
    /// take longer than `timeout` are a failure.
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

    /// From now on the ledger is published to the run folder, for as long as `attempt` owns it.
    pub(crate) fn publish_to(&self, folder: &RunFolder, attempt: u64) {
        _ = self.shared.folder.set((folder.clone(), attempt));
    }

    /// From now on this lane is watched for asynchronous errors, and aborted at a failure.
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

/// How long a collective has been under way, in time that this process was running: one that was stopped by a signal
/// finds its peers where they were.
#[derive(Default)]
struct Waiting {
    sequence: u64,
    waited: Duration,
    looked: Option<Instant>,
}

impl Waiting {
    fn look(&mut self, sequence: Option<u64>) -> Duration {
        let now = Instant::now();
        let since = self.looked.replace(now).map_or(Duration::ZERO, |looked| now - looked);
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
            let waited = waiting.look(own.oldest_unfinished().map(|entry| entry.sequence));
            if waited >= self.timeout {
                self.name_the_rank_behind(waiting.sequence, waited);
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

    /// A copy that cannot be written is no reason to end a run: the next one may.
    fn publish(&self) {
        self.ledger.beat();
        let Some((folder, attempt)) = self.folder.get() else { return };
        let published = Attempt::newest(folder).and_then(|newest| match newest {
            Some(newest) if newest == *attempt => self.ledger.publish(&folder.ledger(self.rank)),
            _ => Ok(()), // another start of this run owns the folder
        });
        if let Err(error) = published {
            tracing::warn!("the ledger is not published: {}", describe(&error));
        }
    }

    fn compare_with_the_next_rank(&self, own: &Snapshot) {
        let next = (self.rank + 1) % own.world_size;
        if let Some(verdict) = self.snapshot_of(next).and_then(|next| mismatch(own, &next)) {
            self.fail(&CommError::Mismatch(verdict.to_string()), true);
        }
    }

    /// A rank that was killed cannot publish its last words; its neighbour on the host does. What it left is looked at after
    /// the job is gone, so nothing is done about a failure here.
    fn publish_for_the_next_rank(&self) {
        let next = (self.rank + 1) % self.peers.len();
        let Peer { host, process, ledger } = &self.peers[next];
        let is_gone = !Path::new("/proc").join(process.0.to_string()).exists();
        if let Some((folder, attempt)) = self.folder.get()
            && *host == self.peers[self.rank].host
            && is_gone
            && Attempt::newest(folder).is_ok_and(|newest| newest == Some(*attempt))
            && Snapshot::read(ledger).is_ok_and(|left| (left.process_id, left.nonce) == *process)
        {
            _ = publish_left(ledger, &folder.ledger(next));
        }
    }

    /// From the memory of this host, which is never behind, or as it was published by that very process.
    fn snapshot_of(&self, rank: usize) -> Option<Snapshot> {
        let peer = &self.peers[rank];
        let is_here = peer.host == self.peers[self.rank].host;
        let local = is_here.then(|| Snapshot::read(&peer.ledger).ok()).flatten();
        let published = || Snapshot::read(&self.folder.get()?.0.ledger(rank)).ok();
        local.or_else(published).filter(|found| (found.process_id, found.nonce) == peer.process)
    }

    fn told_of_silent(&self, rank: usize, snapshots: &[Snapshot]) -> String {
        let last = snapshots.iter().find(|it| it.rank == rank).and_then(Snapshot::last_entered);
        let last = last.map_or_else(String::new, |last| format!(" (it last entered {last})"));
        format!("rank {rank} on {} gives no sign of life{last}", self.peers[rank].host)
    }

    /// The verdict, and what holds up the first of those that are behind, where that can be seen from this host.
    fn told_with_cause(&self, verdict: &Verdict) -> String {
        let behind = match verdict {
            Verdict::Behind { ranks, .. } => ranks.first().map(|(rank, ..)| &self.peers[*rank]),
            Verdict::Mismatch { .. } | Verdict::Stuck { .. } => None,
        };
        let here = behind.filter(|peer| peer.host == self.peers[self.rank].host);
        let cause = here.and_then(|peer| held_up_in(peer.process.0));
        cause.map_or_else(|| verdict.to_string(), |cause| format!("{verdict}; {cause}"))
    }

    fn snapshots(&self) -> Vec<Snapshot> {
        (0..self.peers.len()).filter_map(|rank| self.snapshot_of(rank)).collect()
    }

    fn name_the_rank_behind(&self, sequence: u64, waited: Duration) {
        self.publish();
        let before = self.snapshots();
        let until = Instant::now() + OTHERS_PUBLISH;
        while Instant::now() < until {
            std::thread::sleep(5 * POLL);
            self.publish();
        }
        let own = self.ledger.snapshot();
        let is_same = |entry: &&Entry| entry.sequence == sequence;
        let Some(waits_in) = own.oldest_unfinished().filter(is_same) else { return }; // it came to its end meanwhile
        let snapshots = self.snapshots();
        let silent = silent(&before, &snapshots, self.peers.len());
        let told = if silent.is_empty() {
            judge(&snapshots)
                .map_or_else(|| "all ledgers agree".into(), |verdict| self.told_with_cause(&verdict))
        } else {
            // A rank that is stopped or gone is the cause, whoever is ahead of it in the ledgers.
            let told: Vec<_> = silent.iter().map(|&rank| self.told_of_silent(rank, &snapshots)).collect();
            format!("{}; rank {} waits in {waits_in}", told.join(", "), self.rank)
        };
        let is_waiting = |it: &&Snapshot| it.oldest_unfinished().is_some() && !silent.contains(&it.rank);
        let first_waiting = snapshots.iter().find(is_waiting);
        let speaks = first_waiting.is_none_or(|it| it.rank == self.rank);
        self.fail(&CommError::Stalled { waited_s: waited.as_secs(), told }, speaks);
    }

    /// Ends the job from here: the main thread is inside a collective and will not come back. A rank that does not speak
    /// leaves that to the one that does.
    fn fail(&self, error: &CommError, speaks: bool) -> ! {
        exit_after(ENDING, ExitCode::Communication.code());
        self.publish();
        (self.on_failure)(self.rank, error, speaks);
        if !speaks {
            std::thread::sleep(SPEAKER_ENDS);
            // Nobody has ended the job: then this rank is the one.
            (self.on_failure)(self.rank, error, true);
        }
        self.abort_lane();
        end_job(ExitCode::Communication.code())
    }

    /// NCCL's abort waits for its own threads and for the device, which may not answer.
    fn abort_lane(&self) {
        let Some(lane) = self.lane.get().cloned() else { return };
        let (tell, done) = std::sync::mpsc::channel();
        let abort = move || {
            lane.abort();
            _ = tell.send(());
        };
        if std::thread::Builder::new().name("abort".into()).spawn(abort).is_ok() {
            _ = done.recv_timeout(ABORT);
        }
    }

    /// Ends the job where the watchdog itself hangs, as on a file system that no longer answers. Touches no file.
    fn last_resort(&self) {
        let mut waiting = Waiting::default();
        while !self.is_stopped_within(POLL) {
            let oldest = self.ledger.snapshot().oldest_unfinished().map(|entry| entry.sequence);
            if waiting.look(oldest) >= self.timeout.saturating_add(LAST_RESORT) {
                end_job(ExitCode::Communication.code());
            }
        }
    }
}

/// The ranks whose hearts did not beat between two looks at their ledgers; one of which nothing was seen may be well.
fn silent(before: &[Snapshot], after: &[Snapshot], world_size: usize) -> Vec<usize> {
    let beat = |looks: &[Snapshot], rank| looks.iter().find(|it| it.rank == rank).map(|it| it.heartbeat_ns);
    let stands = |&rank: &usize| beat(before, rank).is_some_and(|then| beat(after, rank) == Some(then));
    (0..world_size).filter(stands).collect()
}

/// This process's ledger in node-local memory.
fn local_path(rank: usize) -> PathBuf {
    let memory = Path::new(LOCAL_MEMORY);
    let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    // The standard library seeds its hashers at random.
    let random = RandomState::new().build_hasher().finish() as u32;
    folder.join(name_in_memory(std::process::id(), random, rank))
}

/// Removes the ledgers of processes that are gone: their hearts stand still, and their numbers are not in use.
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

/// Another rank, or this one, and where its ledger is.
#[derive(Debug, Serialize, Deserialize)]
struct Peer {
    host: String,
    /// Its id, and its random number.
    process: (u32, u32),
    /// In the memory of its host.
    ledger: PathBuf,
}
