//! Progress of a run, read from its folder: heartbeats, metrics and checkpoints.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use regatta_ledger::Snapshot;
use regatta_run_folder::{RunFolder, last_record};

/// Observations that change when a run makes progress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunProgress {
    /// The latest step of any rank, or the last that was logged.
    pub(crate) step: Option<u64>,
    /// Sequence number of the last collective that each rank entered.
    entered: Vec<u64>,
    metrics_bytes: u64,
    /// Step of the newest checkpoint, damaged or not.
    pub(crate) checkpoint: Option<u64>,
}

impl RunProgress {
    /// Reads the progress of an attempt started at `since`; ledgers with an older heartbeat belong to another attempt.
    /// A missing folder means no progress.
    pub(crate) fn of(folder: &RunFolder, since: SystemTime) -> Self {
        let since_ns = since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let mut snapshots = Snapshot::of_run(folder);
        snapshots.retain(|snapshot| snapshot.heartbeat_ns >= since_ns);
        let logged = last_record(&folder.metrics()).map(|record| record.steps_done());
        let entered = |it: &Snapshot| it.last_entered().map_or(0, |entry| entry.sequence);
        Self {
            step: snapshots.iter().map(|it| it.step).max().filter(|&step| step > 0).max(logged),
            entered: snapshots.iter().map(entered).collect(),
            metrics_bytes: fs::metadata(folder.metrics()).map_or(0, |it| it.len()),
            checkpoint: newest_checkpoint(folder),
        }
    }
}

fn newest_checkpoint(folder: &RunFolder) -> Option<u64> {
    let names = fs::read_dir(folder.checkpoints()).ok()?.flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.strip_prefix("step-")?.parse().ok()).max()
}

#[cfg(test)]
mod tests {
    use regatta_ledger::{Collective, Element, Ledger, Operation};

    use super::*;

    #[test]
    fn steps_collectives_and_checkpoints_count_as_progress() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(root.path(), "x");
        let of = |folder: &RunFolder| RunProgress::of(folder, UNIX_EPOCH);
        assert_eq!(of(&folder), RunProgress::default());
        folder.create().unwrap();
        let mut before = of(&folder);
        let mut changes = |what: &str| {
            let now = of(&folder);
            assert_ne!(now, before, "{what}");
            before = now.clone();
            now
        };
        fs::write(
            folder.metrics(),
            "{\"kind\":\"step\",\"epoch\":1,\"step\":20,\"images\":9}\n{\"kind\":\"st",
        )
        .unwrap();
        assert_eq!(changes("metrics").step, Some(20));
        fs::create_dir(folder.checkpoint(15)).unwrap();
        assert_eq!(changes("a checkpoint").checkpoint, Some(15));
        let ledger = Ledger::create(&root.path().join("ledger"), 1, 2).unwrap();
        ledger.set_step(23);
        let barrier = Collective { operation: Operation::Barrier, element: Element::U8, bytes: 0 };
        ledger.publish(&folder.ledger(1)).unwrap();
        assert_eq!(changes("a step").step, Some(23));
        ledger.enter(barrier);
        ledger.publish(&folder.ledger(1)).unwrap();
        changes("a collective");
        ledger.beat();
        ledger.publish(&folder.ledger(1)).unwrap();
        assert_eq!(of(&folder), before, "a heart that beats is no progress");
        let later = SystemTime::now() + std::time::Duration::from_secs(1);
        assert_eq!(RunProgress::of(&folder, later).step, Some(20), "that ledger is of an earlier attempt");
    }
}
