//! The diagnosis of a run that hangs or has died, from the ledgers of several ranks.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry::{Occupied, Vacant};

use super::collective::Entry;
use super::snapshot::Snapshot;

/// The cause of a hang, as the ledgers of several ranks prove it. Displays as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ranks called different collectives under the same sequence number.
    Mismatch {
        /// The first sequence number on which ranks differ.
        sequence: u64,
        /// A rank and the collective that it called.
        left: (usize, Entry),
        /// Another rank and the collective that it called.
        right: (usize, Entry),
    },
    /// Some ranks did not enter a collective in which others wait.
    Behind {
        /// The late ranks: rank, host name, and the last collective that the rank entered, if any.
        ranks: Vec<(usize, String, Option<Entry>)>,
        /// The collective that they did not enter, as recorded by the first waiting rank.
        missing: Entry,
        /// The ranks that wait in it.
        waiting: Vec<usize>,
    },
    /// All ranks entered a collective, and it does not finish.
    Stuck {
        /// The collective.
        entry: Entry,
        /// The ranks on which it is unfinished.
        unfinished: Vec<usize>,
        /// The ranks without a ledger, which may not have entered the collective.
        without_ledger: Vec<usize>,
    },
}

/// Finds out why a run makes no progress, from the ledgers of its ranks: one per rank, in any order. The ledger of a dead
/// rank is simply one that no longer changes. Returns `None` if no collective is unfinished and there is no mismatch.
///
/// The ranks must have made no progress for a while. By then all healthy ranks have reached the same point, even if they
/// launch several collectives before the first one finishes, so a rank that entered fewer is the cause, whether or not the
/// earlier collectives that it did enter are finished.
pub fn judge(snapshots: &[Snapshot]) -> Option<Verdict> {
    let mut ranks: Vec<&Snapshot> = snapshots.iter().collect();
    ranks.sort_by_key(|snapshot| snapshot.rank);
    first_mismatch(&ranks).or_else(|| behind(&ranks)).or_else(|| stuck(&ranks))
}

/// Returns the first collective on which two ranks disagree, among those that both ledgers still hold.
pub fn mismatch(left: &Snapshot, right: &Snapshot) -> Option<Verdict> {
    first_mismatch(&[left, right])
}

/// Compares each entry with the first rank's entry of the same sequence number.
fn first_mismatch(ranks: &[&Snapshot]) -> Option<Verdict> {
    let mut first_with = BTreeMap::new();
    let mut differing: Option<((usize, Entry), (usize, Entry))> = None;
    for snapshot in ranks {
        for entry in &snapshot.entries {
            let right = (snapshot.rank, *entry);
            let left = match first_with.entry(entry.sequence) {
                Vacant(place) => *place.insert(right),
                Occupied(place) => *place.get(),
            };
            let earlier = differing.is_none_or(|(known, _)| entry.sequence < known.1.sequence);
            if earlier && left.1.collective != entry.collective {
                differing = Some((left, right));
            }
        }
    }
    differing.map(|(left, right)| Verdict::Mismatch { sequence: left.1.sequence, left, right })
}

/// Finds the first unfinished collective that the slowest rank did not enter, and all ranks that did not enter it.
fn behind(ranks: &[&Snapshot]) -> Option<Verdict> {
    let slowest = ranks.iter().map(|snapshot| last_sequence(snapshot)).min()?;
    let unfinished = ranks.iter().flat_map(|snapshot| snapshot.unfinished());
    let missed = unfinished.filter(|entry| entry.sequence > slowest);
    let missing = *missed.min_by_key(|entry| entry.sequence)?;
    let late = ranks.iter().filter(|snapshot| last_sequence(snapshot) < missing.sequence);
    let late = late.map(|snapshot| (snapshot.rank, snapshot.host.clone(), snapshot.last_entered().copied()));
    Some(Verdict::Behind { ranks: late.collect(), missing, waiting: waiting_in(missing.sequence, ranks) })
}

/// Finds the oldest unfinished collective; no rank is behind, so all have entered it.
fn stuck(ranks: &[&Snapshot]) -> Option<Verdict> {
    let oldest = ranks.iter().filter_map(|snapshot| snapshot.oldest_unfinished());
    let entry = *oldest.min_by_key(|entry| entry.sequence)?;
    let world_size = ranks.iter().map(|snapshot| snapshot.world_size).max()?;
    let has_ledger = |rank: &usize| ranks.binary_search_by_key(rank, |snapshot| snapshot.rank).is_ok();
    let without_ledger = (0..world_size).filter(|rank| !has_ledger(rank)).collect();
    Some(Verdict::Stuck { entry, unfinished: waiting_in(entry.sequence, ranks), without_ledger })
}

/// Returns the ranks that have entered the collective and not finished it.
fn waiting_in(sequence: u64, ranks: &[&Snapshot]) -> Vec<usize> {
    let waits = |snapshot: &&&Snapshot| snapshot.unfinished().any(|entry| entry.sequence == sequence);
    ranks.iter().filter(waits).map(|snapshot| snapshot.rank).collect()
}

/// Returns the sequence number of the last collective that a rank entered; 0 if it entered none.
fn last_sequence(snapshot: &Snapshot) -> u64 {
    snapshot.last_entered().map_or(0, |entry| entry.sequence)
}
