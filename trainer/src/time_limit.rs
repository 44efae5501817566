//! A job's time limit: rank 0 asks for a stop while a checkpoint still fits before it.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use regatta_comm::Launch;

use crate::signals::StopFlag;

/// Between two looks at the clock.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Between two questions to the scheduler: an administrator may prolong a job.
const QUERY_INTERVAL: Duration = Duration::from_secs(300);
/// What a checkpoint is taken to last before one was measured.
const DEFAULT_CHECKPOINT_TIME: Duration = Duration::from_secs(30);
/// At most this part of the time that a job has at its start is kept for stopping.
const MAX_STOP_FRACTION: u32 = 4;
/// For what comes besides: ranks that agree, files that close, MPI that ends.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(10);

/// What stopping takes, by what was measured so far. Shared with the thread that watches the limit.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopTime(Arc<LongestTimes>);

#[derive(Debug, Default)]
struct LongestTimes {
    step_ms: AtomicU64,
    checkpoint_ms: AtomicU64,
}

impl StopTime {
    /// A step took this long.
    pub(crate) fn note_step(&self, time: Duration) {
        self.0.step_ms.fetch_max(time.as_millis() as u64, Ordering::Relaxed);
    }

    /// A checkpoint took this long.
    pub(crate) fn note_checkpoint(&self, time: Duration) {
        self.0.checkpoint_ms.fetch_max(time.as_millis().max(1) as u64, Ordering::Relaxed);
    }

    /// Two steps, in which ranks agree to stop, and twice the longest checkpoint.
    fn needed(&self) -> Duration {
        let of = |ms: &AtomicU64| Duration::from_millis(ms.load(Ordering::Relaxed));
        let checkpoint =
            Some(of(&self.0.checkpoint_ms)).filter(|time| !time.is_zero()).unwrap_or(DEFAULT_CHECKPOINT_TIME);
        2 * of(&self.0.step_ms) + 2 * checkpoint + SHUTDOWN_MARGIN
    }
}

/// Watches the limit of the Slurm job that this process is part of, in a thread that lives as long as the process; without
/// such a job there is nothing to watch.
pub(crate) fn watch(launch: &Launch, stop: &StopFlag, needed: &StopTime) {
    let Some(job) = launch.slurm_job.clone() else { return };
    let (stop, needed, known_end) = (stop.clone(), needed.clone(), launch.slurm_job_end);
    let body = move || {
        let mut asked = Instant::now();
        let mut end = end_of(&job, known_end);
        // A job that is shorter than what stopping might take is to do some steps all the same.
        let most = end.map_or(Duration::MAX, |end| end.saturating_duration_since(asked) / MAX_STOP_FRACTION);
        while !stop.is_set() {
            if asked.elapsed() > QUERY_INTERVAL {
                (asked, end) = (Instant::now(), end_of(&job, known_end));
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if let Some(left) = left.filter(|&left| left < needed.needed().min(most)) {
                tracing::warn!(
                    "the job's time limit is {} s away: stopping with a checkpoint",
                    left.as_secs()
                );
                stop.set();
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    };
    // Without the thread the run is as before: the scheduler's signal stops it.
    if let Err(error) = std::thread::Builder::new().name("time limit".into()).spawn(body) {
        tracing::warn!("the time limit is not watched: {error}");
    }
}

/// When the job ends; none where it has no limit, or the scheduler does not say.
fn end_of(job: &str, known_end: Option<u64>) -> Option<Instant> {
    let left = match known_end {
        Some(end) => {
            Duration::from_secs(end).saturating_sub(SystemTime::now().duration_since(UNIX_EPOCH).ok()?)
        }
        None => {
            let mut squeue = Command::new("squeue");
            squeue.args(["-h", "-j", job, "-o", "%L"]).stdin(Stdio::null()).stderr(Stdio::null());
            parse(String::from_utf8_lossy(&squeue.output().ok()?.stdout).trim())?
        }
    };
    Instant::now().checked_add(left)
}

/// `1-02:03:04`, `02:03:04` or `03:04`, as squeue writes the time that is left.
fn parse(text: &str) -> Option<Duration> {
    let (days, rest) = text.split_once('-').unwrap_or(("0", text));
    let parts: Vec<u64> = rest.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let seconds = match parts[..] {
        [hours, minutes, seconds] => (hours * 60 + minutes) * 60 + seconds,
        [minutes, seconds] => minutes * 60 + seconds,
        _ => return None,
    };
    Some(Duration::from_secs(days.parse::<u64>().ok()? * 24 * 3600 + seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_is_read_as_squeue_writes_it() {
        let seconds = |text| parse(text).map(|left| left.as_secs());
        assert_eq!(seconds("1-02:03:04"), Some(93_784));
        assert_eq!(seconds("02:03:04"), Some(7384));
        assert_eq!(seconds("3:04"), Some(184));
        for text in ["UNLIMITED", "INVALID", "NOT_SET", "", "5"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn what_stopping_takes_is_measured() {
        let needed = StopTime::default();
        assert_eq!(needed.needed(), Duration::from_secs(70));
        needed.note_checkpoint(Duration::from_secs(4));
        needed.note_checkpoint(Duration::from_secs(3));
        needed.note_step(Duration::from_secs(1));
        assert_eq!(needed.needed(), Duration::from_secs(2 + 8 + 10));
    }
}
