//! Finds the rank that fell silent first, and decides whether ledgers read at different times may be compared. Pure functions.

use regatta_ledger::{Entry, Snapshot, Verdict, judge};
use serde::Serialize;

/// Time between two publications of a ledger, plus a margin for slow file systems.
const PUBLISHED_NS: u64 = 3_000_000_000;
/// Time between two heartbeats in memory, plus a margin for busy hosts. When a rank dies, mpirun gives the others one second.
const IN_MEMORY_NS: u64 = 500_000_000;

/// The last known ledger of a rank.
#[derive(Clone, Debug)]
pub(crate) struct LastSnapshot {
    pub(crate) snapshot: Snapshot,
    /// Whether it was read from shared memory, so that nothing the rank did later is missing.
    pub(crate) is_exact: bool,
}

/// The rank whose heartbeats stopped first.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct FirstSilent {
    pub(crate) rank: usize,
    pub(crate) host: String,
    pub(crate) process_id: u32,
    /// Seconds before the next rank fell silent.
    pub(crate) before_s: f64,
}

/// Returns the ledgers as they were at a moment in milliseconds of Unix time. After a rank's failure mpirun wakes stopped ranks
/// (CONT before TERM), which then enter collectives that the others have already left.
pub(crate) fn as_of(mut ledgers: Vec<LastSnapshot>, moment_ms: u64) -> Vec<LastSnapshot> {
    let moment_ns = moment_ms.saturating_mul(1_000_000);
    for LastSnapshot { snapshot, .. } in &mut ledgers {
        snapshot.heartbeat_ns = snapshot.heartbeat_ns.min(moment_ns);
        snapshot.entries.retain(|entry| entry.entered_ns <= moment_ns);
        for entry in &mut snapshot.entries {
            entry.completed_ns = entry.completed_ns.filter(|completed_ns| *completed_ns <= moment_ns);
        }
    }
    ledgers
}

/// Returns the rank that fell silent first, if the heartbeats are far enough apart to tell.
pub(crate) fn first_silent(ledgers: &[LastSnapshot]) -> Option<FirstSilent> {
    let mut by_time: Vec<_> = ledgers.iter().collect();
    by_time.sort_by_key(|it| it.snapshot.heartbeat_ns);
    let [first, next, ..] = by_time[..] else { return None };
    let before_ns = next.snapshot.heartbeat_ns - first.snapshot.heartbeat_ns;
    let margin_ns = if first.is_exact && next.is_exact { IN_MEMORY_NS } else { PUBLISHED_NS };
    let Snapshot { rank, host, process_id, .. } = first.snapshot.clone();
    (before_ns > margin_ns).then(|| FirstSilent { rank, host, process_id, before_s: before_ns as f64 / 1e9 })
}

/// Returns the verdict that the ledgers prove. Copies of different moments do not prove who is behind, unless a rank waited for
/// longer than the copies can be apart.
pub(crate) fn proven(ledgers: &[LastSnapshot]) -> Option<Verdict> {
    let snapshots: Vec<_> = ledgers.iter().map(|it| it.snapshot.clone()).collect();
    let are_exact = ledgers.iter().all(|it| it.is_exact);
    judge(&snapshots).filter(|verdict| match verdict {
        Verdict::Mismatch { .. } => true,
        Verdict::Behind { missing, waiting, .. } => are_exact || waited_long(missing, waiting, &snapshots),
        Verdict::Stuck { entry, unfinished, .. } => are_exact || waited_long(entry, unfinished, &snapshots),
    })
}

fn waited_long(entry: &Entry, ranks: &[usize], snapshots: &[Snapshot]) -> bool {
    let entered = |snapshot: &Snapshot| {
        snapshot.entries.iter().find(|it| it.sequence == entry.sequence).map(|it| it.entered_ns)
    };
    let waited_ns = |snapshot: &Snapshot| Some(snapshot.heartbeat_ns.saturating_sub(entered(snapshot)?));
    let waiting = snapshots.iter().filter(|snapshot| ranks.contains(&snapshot.rank));
    waiting.filter_map(waited_ns).any(|waited_ns| waited_ns > PUBLISHED_NS)
}

#[cfg(test)]
mod tests {
    use regatta_ledger::{Collective, Element, Operation};

    use super::*;

    const MS: u64 = 1_000_000;

    /// A rank that entered so many collectives, the last at 10 s and unfinished where it waits.
    fn ledgers(rank: usize, entered: u64, waits: bool, heartbeat_ms: u64, is_exact: bool) -> LastSnapshot {
        let entry = |sequence| Entry {
            sequence,
            step: 1,
            collective: Collective { operation: Operation::Barrier, element: Element::U8, bytes: 0 },
            entered_ns: 10_000 * MS,
            completed_ns: (!waits || sequence < entered).then_some(10_000 * MS),
        };
        let snapshot = Snapshot {
            rank,
            world_size: 3,
            host: "node1".into(),
            process_id: 100 + rank as u32,
            nonce: 1,
            step: 1,
            heartbeat_ns: heartbeat_ms * MS,
            entries: (1..=entered).map(entry).collect(),
        };
        LastSnapshot { snapshot, is_exact }
    }

    #[test]
    fn the_first_silent_rank_is_named_if_the_ledgers_are_exact_enough() {
        for (heartbeats_ms, is_exact, expected) in [
            ([11_000, 10_000, 11_050], true, Some((1, 1.0))),
            ([11_000, 10_600, 11_050], true, None),
            ([11_000, 10_000, 11_050], false, None),
            ([19_000, 10_000, 18_000], false, Some((1, 8.0))),
            ([11_000, 11_000, 11_000], true, None),
        ] {
            let ledgers: Vec<_> =
                (0..3).map(|rank| ledgers(rank, 4, false, heartbeats_ms[rank], is_exact)).collect();
            let found = first_silent(&ledgers).map(|it| (it.rank, it.before_s));
            assert_eq!(found, expected, "{heartbeats_ms:?} {is_exact}");
        }
        assert_eq!(first_silent(&[ledgers(0, 1, false, 1, true)]), None, "nobody to compare with");
    }

    /// Rank 0 said that rank 1 hangs and ended; rank 1 was woken, found what rank 0 had sent, and went on to the next.
    #[test]
    fn collectives_entered_after_a_stopped_rank_was_woken_do_not_count() {
        let waiting = ledgers(0, 5, true, 14_000, true);
        let mut woken = ledgers(1, 6, true, 15_000, true);
        for entry in &mut woken.snapshot.entries[4..] {
            entry.entered_ns = 14_500 * MS;
        }
        let verdict = |ledgers: &[LastSnapshot]| proven(ledgers).unwrap().to_string();
        let both = vec![waiting, woken];
        assert!(verdict(&both).starts_with("rank 0 on node1 is behind: "));
        assert!(verdict(&as_of(both, 14_000)).starts_with("rank 1 on node1 is behind: "));
    }

    /// Rank 0's copy is from before it entered what rank 1 waits in, and that may be all that there is to it.
    #[test]
    fn copies_of_different_moments_prove_nothing_unless_somebody_waited() {
        let judged = |waited_ms: u64, is_exact| {
            let heartbeat_ms = 10_000 + waited_ms;
            let both = [ledgers(0, 4, false, 10_000, is_exact), ledgers(1, 5, true, heartbeat_ms, is_exact)];
            proven(&both).map(|verdict| verdict.to_string())
        };
        assert_eq!(judged(1000, false), None);
        let behind = "rank 0 on node1 is behind: ";
        assert!(judged(1000, true).unwrap().starts_with(behind));
        assert!(judged(4000, false).unwrap().starts_with(behind));
    }
}
