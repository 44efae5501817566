//! Detects stragglers: ranks that are the slowest by a factor for several log intervals in a row.

use std::collections::BTreeSet;

use regatta_settings::LogSettings;

use crate::attribution::Slowest;

/// Checks every log interval and reports each straggler once.
#[derive(Debug)]
pub(crate) struct Stragglers {
    factor: f64,
    intervals: u64,
    /// The rank that was slowest by the factor in the latest intervals, and the number of these.
    streak: Option<(usize, u64)>,
    named: BTreeSet<usize>,
}

impl Stragglers {
    /// Uses the recipe's factor and number of intervals.
    pub(crate) fn new(log: &LogSettings) -> Self {
        Self {
            factor: log.straggler_factor,
            intervals: log.straggler_intervals,
            streak: None,
            named: BTreeSet::new(),
        }
    }

    /// Adds an interval; returns whether its slowest rank is to be reported now.
    pub(crate) fn note(&mut self, slowest: Slowest) -> bool {
        if slowest.times < self.factor {
            self.streak = None;
            return false;
        }
        let before = self.streak.filter(|(rank, _)| *rank == slowest.rank).map_or(0, |(_, count)| count);
        self.streak = Some((slowest.rank, before + 1));
        self.intervals > 0 && before + 1 >= self.intervals && self.named.insert(slowest.rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The intervals, counted from 0, in which a rank is named.
    fn named(intervals: u64, slowest: &[(usize, f64)]) -> Vec<usize> {
        let log = LogSettings { straggler_intervals: intervals, ..LogSettings::default() };
        let mut stragglers = Stragglers::new(&log);
        let is_named =
            |&(_, &(rank, times)): &(usize, &(usize, f64))| stragglers.note(Slowest { rank, times });
        slowest.iter().enumerate().filter(is_named).map(|(number, _)| number).collect()
    }

    #[test]
    fn a_straggler_is_named_once_after_so_many_intervals() {
        assert_eq!(named(3, &[(1, 2.0); 9]), [2]);
        assert_eq!(named(1, &[(1, 1.4), (1, 1.5), (1, 2.0)]), [1]);
        assert_eq!(named(0, &[(1, 2.0); 9]), [0; 0]);
    }

    #[test]
    fn an_interval_of_another_rank_or_of_none_begins_anew() {
        let one = (1, 2.0);
        assert_eq!(named(3, &[one, one, (0, 2.0), one, one, one]), [5]);
        assert_eq!(named(3, &[one, one, (1, 1.1), one, one, one]), [5]);
        assert_eq!(named(2, &[one, one, (2, 2.0), (2, 2.0), one, one]), [1, 3]);
    }
}
