//! A rung of a search: the trials of one budget.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Running, TrialState};

/// The trials of one budget.
pub(super) struct Rung {
    pub(super) epochs: u64,
    /// Errors of the trials that ended, by sample; None for those that failed.
    ended: BTreeMap<u64, Option<f64>>,
    running: BTreeSet<u64>,
}

impl Rung {
    /// Returns the rung with trials of its budget; of several ends of a trial, the last one counts.
    pub(super) fn new<'a>(
        epochs: u64,
        ended: impl Iterator<Item = &'a TrialState>,
        running: impl Iterator<Item = &'a Running>,
    ) -> Self {
        let number = |error: Option<f64>| error.filter(|error| !error.is_nan());
        let ended = ended.map(|trial| (trial.sample, number(trial.error))).collect();
        Self { epochs, ended, running: running.map(|trial| trial.sample).collect() }
    }

    /// Returns whether a sample runs or ended in this rung.
    pub(super) fn has(&self, sample: u64) -> bool {
        self.running.contains(&sample) || self.has_ended(sample)
    }

    pub(super) fn has_ended(&self, sample: u64) -> bool {
        self.ended.contains_key(&sample)
    }

    /// Returns the rung with no trials but those of `samples` that ended.
    pub(super) fn only(&self, samples: &[u64]) -> Rung {
        let ended = samples.iter().filter_map(|sample| Some((*sample, *self.ended.get(sample)?)));
        Rung { epochs: self.epochs, ended: ended.collect(), running: BTreeSet::new() }
    }

    /// Returns the best 1 in `reduction` of the trials that ended, rounded down, best first. Failed trials count, but are left out
    /// if fewer succeeded.
    pub(super) fn best(&self, reduction: u64) -> Vec<u64> {
        let count = self.ended.len() / usize::try_from(reduction).unwrap_or(usize::MAX);
        let mut ranked = self.ranked();
        ranked.truncate(count);
        ranked.into_iter().map(|(_, sample)| sample).collect()
    }

    /// Returns errors and samples of the trials that succeeded, best first, ties by sample.
    fn ranked(&self) -> Vec<(f64, u64)> {
        let succeeded = self.ended.iter().filter_map(|(sample, error)| Some(((*error)?, *sample)));
        let mut ranked: Vec<(f64, u64)> = succeeded.collect();
        ranked.sort_by(|(a, first), (b, second)| a.total_cmp(b).then(first.cmp(second)));
        ranked
    }
}

/// The state of a rung.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RungSummary {
    /// Budget in epochs.
    pub epochs: u64,
    /// Number of trials that ended, failed ones included.
    pub ended: usize,
    /// Number of trials that failed.
    pub failed: usize,
    /// Number of trials that ended in the next rung as well.
    pub promoted: usize,
    /// The trial with the smallest error.
    pub best_sample: Option<u64>,
    /// Its error.
    pub best_error: Option<f64>,
}

impl RungSummary {
    pub(super) fn of(rung: &Rung, above: Option<&Rung>) -> Self {
        let best = rung.ranked().first().copied();
        let is_promoted = |sample: &&u64| above.is_some_and(|above| above.has_ended(**sample));
        Self {
            epochs: rung.epochs,
            ended: rung.ended.len(),
            failed: rung.ended.values().filter(|error| error.is_none()).count(),
            promoted: rung.ended.keys().filter(is_promoted).count(),
            best_sample: best.map(|(_, sample)| sample),
            best_error: best.map(|(error, _)| error),
        }
    }
}
