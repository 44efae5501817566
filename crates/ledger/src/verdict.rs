//! What the ledgers of several ranks prove when a run hangs or has died.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry::{Occupied, Vacant};

use super::collective::Entry;
use super::snapshot::Snapshot;

/// What several ranks' ledgers prove. Its text is one line for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Under one number ranks called different collectives.
    Mismatch {
        /// The number, the first of such.
        sequence: u64,
        /// A rank and what it called.
        left: (usize, Entry),
        /// Another rank and what it called.
        right: (usize, Entry),
    },
    /// Some ranks did not enter the collective that others wait in.
    Behind {
        /// Those that did not: rank, name of its host, and what it entered last, if anything.
        ranks: Vec<(usize, String, Option<Entry>)>,
        /// What they did not enter, as the first of the waiting ranks has it.
        missing: Entry,
        /// The ranks that wait in it.
        waiting: Vec<usize>,
    },
    /// All ranks entered a collective, and it is not finished.
    Stuck {
        /// The collective.
        entry: Entry,
        /// The ranks on which it is not finished.
        unfinished: Vec<usize>,
        /// The ranks of which there was no ledger: they may not have entered it.
        unheard: Vec<usize>,
    },
}

/// Says why a run does not go on, from its ranks' ledgers, one a rank, in any order; a rank that is dead is one whose
/// ledger stands still. None if nothing is unfinished and there is no mismatch.
///
/// Meant for ranks that have stood still for a while. Then those that are well have all come to the same point, even
/// if they launch several collectives before the first is finished; so a rank that entered fewer is the one to look
/// at, whether or not an earlier collective that it did enter is finished.
pub fn judge(snapshots: &[Snapshot]) -> Option<Verdict> {
    let mut ranks: Vec<&Snapshot> = snapshots.iter().collect();
    ranks.sort_by_key(|snapshot| snapshot.rank);
    first_mismatch(&ranks).or_else(|| behind(&ranks)).or_else(|| stuck(&ranks))
}

/// The first collective on which two ranks disagree, of those that both ledgers still hold.
pub fn mismatch(left: &Snapshot, right: &Snapshot) -> Option<Verdict> {
    first_mismatch(&[left, right])
}

/// Compares each entry with that of the first rank that has one of this number.
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

/// The first unfinished collective that the slowest rank did not enter, and all ranks that did not.
fn behind(ranks: &[&Snapshot]) -> Option<Verdict> {
    let slowest = ranks.iter().map(|snapshot| last_sequence(snapshot)).min()?;
    let unfinished = ranks.iter().flat_map(|snapshot| snapshot.unfinished());
    let missed = unfinished.filter(|entry| entry.sequence > slowest);
    let missing = *missed.min_by_key(|entry| entry.sequence)?;
    let late = ranks.iter().filter(|snapshot| last_sequence(snapshot) < missing.sequence);
    let late = late.map(|snapshot| (snapshot.rank, snapshot.host.clone(), snapshot.last_entered().copied()));
    Some(Verdict::Behind { ranks: late.collect(), missing, waiting: waiting_in(missing.sequence, ranks) })
}

/// The oldest unfinished collective, where none is behind: all have entered it.
fn stuck(ranks: &[&Snapshot]) -> Option<Verdict> {
    let oldest = ranks.iter().filter_map(|snapshot| snapshot.oldest_unfinished());
    let entry = *oldest.min_by_key(|entry| entry.sequence)?;
    let world_size = ranks.iter().map(|snapshot| snapshot.world_size).max()?;
    let heard = |rank: &usize| ranks.binary_search_by_key(rank, |snapshot| snapshot.rank).is_ok();
    let unheard = (0..world_size).filter(|rank| !heard(rank)).collect();
    Some(Verdict::Stuck { entry, unfinished: waiting_in(entry.sequence, ranks), unheard })
}

/// The ranks on which the collective is entered and not finished.
fn waiting_in(sequence: u64, ranks: &[&Snapshot]) -> Vec<usize> {
    let waits = |snapshot: &&&Snapshot| snapshot.unfinished().any(|entry| entry.sequence == sequence);
    ranks.iter().filter(waits).map(|snapshot| snapshot.rank).collect()
}

/// The number of the collective that a rank entered last; 0 if it entered none.
fn last_sequence(snapshot: &Snapshot) -> u64 {
    snapshot.last_entered().map_or(0, |entry| entry.sequence)
}
