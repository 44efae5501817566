//! Which ranks waited and which were slow: heat maps by rank and step.

use std::collections::BTreeMap;

use regatta_ledger::{Entry, Snapshot};
use serde::Serialize;

use super::curves::rounded;
use super::records::Records;

/// Most columns of a heat map.
const MOST_COLUMNS: usize = 40;
/// Most ranks of a heat map; of more, those with the largest values.
const MOST_RANKS: usize = 64;

/// What is known of each rank of a run with several.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ranks {
    /// The host of each rank that left a ledger.
    pub hosts: BTreeMap<usize, String>,
    /// Seconds per step that each rank waited in collectives for the others, over the last steps.
    pub waits: Option<HeatMap>,
    /// Fraction of the step records in which each rank was the slowest.
    pub slowest: Option<HeatMap>,
}

/// Values by rank and range of steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeatMap {
    /// First and last step of each column.
    pub columns: Vec<(u64, u64)>,
    /// The rank of each row.
    pub ranks: Vec<usize>,
    /// The values, row by row.
    pub values: Vec<Vec<f64>>,
}

impl Ranks {
    /// Derives the heat maps from the ledgers, sorted by rank, and the records of a run with `world_size` ranks.
    pub(super) fn of(snapshots: &[Snapshot], records: &Records, world_size: usize) -> Self {
        let hosts = snapshots.iter().map(|it| (it.rank, it.host.clone())).collect();
        let is_complete = world_size > 1 && snapshots.len() == world_size;
        Self {
            hosts,
            waits: if is_complete { waits(snapshots) } else { None },
            slowest: if world_size > 1 { slowest(records, world_size) } else { None },
        }
    }
}

/// Returns how long each rank waited, by step.
///
/// The rank that enters a collective last spends the shortest time in it; what the others spend beyond that, they wait. No two
/// hosts' clocks are compared. Only collectives that all ranks completed and still have in their ledgers count.
fn waits(snapshots: &[Snapshot]) -> Option<HeatMap> {
    let durations: Vec<BTreeMap<u64, (u64, f64)>> = snapshots
        .iter()
        .map(|it| {
            it.entries
                .iter()
                .filter_map(|entry| Some((entry.sequence, (entry.step, seconds(entry)?))))
                .collect()
        })
        .collect();
    let mut by_step: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (sequence, (step, _)) in durations.first()? {
        let of_ranks: Option<Vec<f64>> =
            durations.iter().map(|of_rank| of_rank.get(sequence).map(|(_, seconds)| *seconds)).collect();
        let Some(of_ranks) = of_ranks else { continue };
        let shortest = of_ranks.iter().copied().fold(f64::INFINITY, f64::min);
        let sums = by_step.entry(*step).or_insert_with(|| vec![0.0; snapshots.len()]);
        sums.iter_mut().zip(of_ranks).for_each(|(sum, seconds)| *sum += seconds - shortest);
    }
    let steps: Vec<(u64, Vec<f64>)> = by_step.into_iter().collect();
    heat_map(&steps, snapshots.len())
}

fn seconds(entry: &Entry) -> Option<f64> {
    Some(entry.completed_ns?.saturating_sub(entry.entered_ns) as f64 * 1e-9)
}

fn slowest(records: &Records, world_size: usize) -> Option<HeatMap> {
    let of_step = |record: &regatta_run_folder::StepRecord| {
        let slowest = record.slowest_rank.filter(|&rank| rank < world_size)?;
        Some((record.step, (0..world_size).map(|rank| f64::from(u8::from(rank == slowest))).collect()))
    };
    let steps: Vec<_> = records.steps().filter_map(of_step).collect();
    heat_map(&steps, world_size)
}

/// Averages the values of ranks over equally many consecutive steps for each column.
fn heat_map(steps: &[(u64, Vec<f64>)], ranks: usize) -> Option<HeatMap> {
    let count = steps.len().min(MOST_COLUMNS);
    let columns: Vec<&[(u64, Vec<f64>)]> =
        (0..count).map(|it| &steps[it * steps.len() / count..(it + 1) * steps.len() / count]).collect();
    let mean = |column: &[(u64, Vec<f64>)], rank: usize| {
        rounded(column.iter().map(|(_, values)| values[rank]).sum::<f64>() / column.len() as f64)
    };
    let row = |rank| (rank, columns.iter().map(|column| mean(column, rank)).collect::<Vec<f64>>());
    let mut rows: Vec<(usize, Vec<f64>)> = (0..ranks).map(row).collect();
    if rows.len() > MOST_RANKS {
        rows.sort_by(|one, other| other.1.iter().sum::<f64>().total_cmp(&one.1.iter().sum()));
        rows.truncate(MOST_RANKS);
        rows.sort_by_key(|(rank, _)| *rank);
    }
    let (ranks, values) = rows.into_iter().unzip();
    let ends = |column: &&[(u64, Vec<f64>)]| Some((column.first()?.0, column.last()?.0));
    let columns: Vec<_> = columns.iter().filter_map(ends).collect();
    (!columns.is_empty()).then_some(HeatMap { columns, ranks, values })
}

#[cfg(test)]
mod tests {
    use regatta_ledger::{Collective, Element, Operation};

    use super::*;

    fn snapshot(rank: usize, times_ms: &[(u64, u64)]) -> Snapshot {
        let collective = Collective { operation: Operation::AllReduce, element: Element::F32, bytes: 4 };
        let entries = (1..).zip(times_ms).map(|(sequence, &(entered, completed))| Entry {
            sequence,
            step: sequence.div_ceil(2),
            collective,
            entered_ns: entered * 1_000_000,
            completed_ns: (completed > 0).then_some(completed * 1_000_000),
        });
        Snapshot {
            rank,
            world_size: 2,
            host: format!("node{rank}"),
            process_id: 1,
            nonce: 1,
            step: 1,
            heartbeat_ns: 1,
            entries: entries.collect(),
        }
    }

    #[test]
    fn a_rank_waits_as_long_as_it_is_in_a_collective_longer_than_the_last() {
        // Rank 1's clock is far ahead. Rank 0 waits 4 ms in the first collective, rank 1 2 ms in the third.
        let early = snapshot(0, &[(0, 5), (10, 11), (20, 21), (30, 0)]);
        let late = snapshot(1, &[(904, 905), (910, 911), (918, 921), (930, 931)]);
        let Ranks { waits, hosts, .. } = Ranks::of(&[early, late], &Records::default(), 2);
        let expected = HeatMap {
            columns: vec![(1, 1), (2, 2)],
            ranks: vec![0, 1],
            values: vec![vec![0.004, 0.0], vec![0.0, 0.002]],
        };
        assert_eq!((waits, &*hosts[&1]), (Some(expected), "node1"));
    }

    #[test]
    fn many_steps_share_columns_and_many_ranks_are_reduced_to_those_that_stand_out() {
        let values = |step: u64| (0..100).map(|rank| if rank == 77 { step as f64 } else { 0.0 }).collect();
        let steps: Vec<(u64, Vec<f64>)> = (1..=1000).map(|step| (step, values(step))).collect();
        let map = heat_map(&steps, 100).unwrap();
        assert_eq!((map.columns.len(), map.columns[0]), (MOST_COLUMNS, (1, 25)));
        let place = map.ranks.iter().position(|&rank| rank == 77).unwrap();
        assert_eq!((map.ranks.len(), map.values[place][0]), (MOST_RANKS, 13.0));
    }

    #[test]
    fn one_rank_has_no_heat_maps() {
        let ranks = Ranks::of(&[snapshot(0, &[(0, 5)])], &Records::default(), 1);
        assert_eq!((ranks.waits, ranks.slowest), (None, None));
    }
}
