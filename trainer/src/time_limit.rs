//! Watches a job's time limit: rank 0 requests a stop while a checkpoint still fits before it.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use regatta_comm::Launch;

use crate::signals::StopFlag;

/// Interval between two checks of the clock.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Interval between two queries of the scheduler: an administrator may extend a job.
const QUERY_INTERVAL: Duration = Duration::from_secs(300);
/// Assumed time of a checkpoint before one was measured.
const DEFAULT_CHECKPOINT_TIME: Duration = Duration::from_secs(30);
/// At most one part in this many of the time left at the start is reserved for stopping.
const RESERVED_PARTS: u32 = 4;
/// Margin for the rest of a shutdown: ranks that agree, files that are closed, MPI that finalizes.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(10);

/// Estimates the time that stopping takes from measured steps and checkpoints. Shared with the thread that watches the limit.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopTime(Arc<LongestTimes>);

#[derive(Debug, Default)]
struct LongestTimes {
    step_ms: AtomicU64,
    checkpoint_ms: AtomicU64,
}

impl StopTime {
    /// Records the time of a step.
    pub(crate) fn note_step(&self, time: Duration) {
        self.0.step_ms.fetch_max(time.as_millis() as u64, Ordering::Relaxed);
    }

    /// Records the time of a checkpoint.
    pub(crate) fn note_checkpoint(&self, time: Duration) {
        self.0.checkpoint_ms.fetch_max(time.as_millis().max(1) as u64, Ordering::Relaxed);
    }

    /// Returns the time of two steps, in which the ranks agree to stop, plus twice the longest checkpoint and the margin.
    fn needed(&self) -> Duration {
        let of = |ms: &AtomicU64| Duration::from_millis(ms.load(Ordering::Relaxed));
        let checkpoint =
            Some(of(&self.0.checkpoint_ms)).filter(|time| !time.is_zero()).unwrap_or(DEFAULT_CHECKPOINT_TIME);
        2 * of(&self.0.step_ms) + 2 * checkpoint + SHUTDOWN_MARGIN
    }
}

/// Watches the time limit of this process's Slurm job in a thread that lives as long as the process. Does nothing outside of a
/// Slurm job.
pub(crate) fn watch(launch: &Launch, stop: &StopFlag, needed: &StopTime) {
    let Some(job) = launch.slurm_job.clone() else { return };
    let (stop, needed, known_end) = (stop.clone(), needed.clone(), launch.slurm_job_end);
    let body = move || {
        let mut asked = Instant::now();
        let mut end = end_of(&job, known_end);
        // Lets a job that is shorter than the estimate train for some steps.
        let most = end.map_or(Duration::MAX, |end| end.saturating_duration_since(asked) / RESERVED_PARTS);
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
    // Without the thread, the scheduler's signal still stops the run.
    if let Err(error) = std::thread::Builder::new().name("time limit".into()).spawn(body) {
        tracing::warn!("the time limit is not watched: {error}");
    }
}

/// Returns when the job ends; `None` if it has no limit or the scheduler does not answer.
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

/// Parses the time left as squeue prints it: `1-02:03:04`, `02:03:04` or `03:04`.
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
    fn the_time_left_is_parsed_in_the_formats_of_squeue() {
        let seconds = |text| parse(text).map(|left| left.as_secs());
        assert_eq!(seconds("1-02:03:04"), Some(93_784));
        assert_eq!(seconds("02:03:04"), Some(7384));
        assert_eq!(seconds("3:04"), Some(184));
        for text in ["UNLIMITED", "INVALID", "NOT_SET", "", "5"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn the_stop_time_follows_the_longest_measurements() {
        let needed = StopTime::default();
        assert_eq!(needed.needed(), Duration::from_secs(70));
        needed.note_checkpoint(Duration::from_secs(4));
        needed.note_checkpoint(Duration::from_secs(3));
        needed.note_step(Duration::from_secs(1));
        assert_eq!(needed.needed(), Duration::from_secs(2 + 8 + 10));
    }
}
