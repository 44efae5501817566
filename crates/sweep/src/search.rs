//! Decisions of a search: which trial is trained next and to what budget, from the results so far.
//!
//! Everything is a pure function of the trials that ended and those that run, so that a search continues after any interruption,
//! with any number of workers, as if it had not stopped.

use serde::{Deserialize, Serialize};

mod error;

mod rung;

pub use error::SearchError;
pub use rung::RungSummary;

use rung::Rung;

/// A search for the best of many samples, with its budget.
///
/// Budgets are the rungs of a ladder: `min_epochs`, then `reduction` times as many for the next, the last one `max_epochs`. Only
/// the best 1 in `reduction` of a rung are promoted to the next, which resumes their training. Ties go to the lower sample number;
/// a trial that failed is never promoted and counts as the worst of its rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// When trials are promoted.
    pub method: Method,
    /// Ratio of the numbers of trials, and of the budgets, of neighbouring rungs; at least 2.
    pub reduction: u64,
    /// Epochs of the lowest rung; without meaning for [`Method::Random`].
    pub min_epochs: u64,
    /// Epochs of the highest rung.
    pub max_epochs: u64,
    /// Number of samples, numbered from 0.
    pub samples: u64,
}

/// When the trials of a search are promoted to a larger budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// As soon as a trial is among the best of those that ended so far in its rung: no worker waits, but some are promoted that
    /// would not have been later (asynchronous successive halving; Li et al. 2020, "A System for Massively Parallel
    /// Hyperparameter Tuning", algorithm 2).
    Asha,
    /// After all trials of a rung ended (Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter
    /// Optimization"). The result does not depend on the order in which trials end.
    SuccessiveHalving,
    /// Never: every sample is trained with the largest budget. The baseline of the other methods.
    Random,
}

/// The end of a trial at a rung; a trial has one for each rung that it was trained to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrialState {
    /// Number of the sample.
    pub sample: u64,
    /// The rung's epochs.
    pub epochs: u64,
    /// Error at the end of the rung; None if the trial failed.
    pub error: Option<f64>,
}

/// A trial that a worker trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Running {
    /// Number of the sample.
    pub sample: u64,
    /// Epochs of the rung that it is trained to.
    pub epochs: u64,
}

/// What a free worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Train a sample from its beginning.
    Start {
        /// Number of the sample.
        sample: u64,
        /// Epochs to train to.
        epochs: u64,
    },
    /// Continue a sample's training, from the end of a lower rung.
    Promote {
        /// Number of the sample.
        sample: u64,
        /// Epochs to train to, those of the lower rung included.
        epochs: u64,
    },
    /// Wait for a running trial, whose end decides what is trained next, or is the last.
    Wait,
    /// Nothing is left to train, and nothing runs.
    Finished,
}

impl Search {
    /// Checks that the search has at least two rungs (except for [`Method::Random`]) and enough samples to reach the highest.
    ///
    /// # Errors
    /// The first number that is out of range.
    pub fn validate(&self) -> Result<(), SearchError> {
        error::check(self)
    }

    /// Returns the epochs of each rung in increasing order.
    pub fn rungs(&self) -> Vec<u64> {
        if self.method == Method::Random {
            return vec![self.max_epochs];
        }
        let budgets =
            std::iter::successors(Some(self.min_epochs), |epochs| epochs.checked_mul(self.reduction));
        budgets.take_while(|epochs| *epochs < self.max_epochs).chain([self.max_epochs]).collect()
    }

    /// Returns what a free worker does next. The search must be valid ([`Search::validate`]).
    ///
    /// The order of `trials` and `running` does not matter. A trial that stopped running without an end is started or promoted
    /// again when its turn comes; trials of other budgets and samples than the search's are ignored.
    pub fn next(&self, trials: &[TrialState], running: &[Running]) -> Next {
        let rungs = self.ladder(trials, running);
        let job = match self.method {
            Method::Asha => self.next_asynchronous(&rungs),
            Method::SuccessiveHalving | Method::Random => self.next_synchronous(&rungs),
        };
        match job {
            Some(next) => next,
            None if running.is_empty() => Next::Finished,
            None => Next::Wait,
        }
    }

    /// Returns the total number of epochs trained: a promotion counts with the epochs that it adds. A failed trial counts with the
    /// whole budget of its rung.
    pub fn cost_epochs(&self, trials: &[TrialState]) -> u64 {
        let rungs = self.ladder(trials, &[]);
        let reached =
            |sample| rungs.iter().rev().find(|rung| rung.has_ended(sample)).map_or(0, |rung| rung.epochs);
        (0..self.samples).map(reached).sum()
    }

    /// Returns the total number of epochs if no trial fails and only the final best of each rung are promoted: exact for
    /// [`Method::SuccessiveHalving`] and [`Method::Random`], the least for [`Method::Asha`].
    pub fn planned_epochs(&self) -> u64 {
        let mut trials = self.samples;
        let (mut total, mut below) = (0_u64, 0);
        for epochs in self.rungs() {
            total = total.saturating_add(trials.saturating_mul(epochs - below));
            trials /= self.reduction;
            below = epochs;
        }
        total
    }

    /// Returns the random search whose cost is nearest to `cost_epochs`, with at least one sample.
    pub fn random_with_equal_cost(&self, cost_epochs: u64) -> Search {
        let samples = cost_epochs.saturating_add(self.max_epochs / 2) / self.max_epochs;
        Search { method: Method::Random, samples: samples.max(1), ..*self }
    }

    /// Returns the state of each rung, lowest first.
    pub fn summary(&self, trials: &[TrialState]) -> Vec<RungSummary> {
        let rungs = self.ladder(trials, &[]);
        (0..rungs.len()).map(|level| RungSummary::of(&rungs[level], rungs.get(level + 1))).collect()
    }

    /// Returns the rungs, lowest first, each with its trials.
    fn ladder(&self, trials: &[TrialState], running: &[Running]) -> Vec<Rung> {
        let rung = |epochs| {
            let ended = trials.iter().filter(|it| it.epochs == epochs && it.sample < self.samples);
            let running = running.iter().filter(|it| it.epochs == epochs);
            Rung::new(epochs, ended, running)
        };
        self.rungs().into_iter().map(rung).collect()
    }

    /// The paper's `get_job`: a promotion from the highest rung that has one, or else a new sample.
    fn next_asynchronous(&self, rungs: &[Rung]) -> Option<Next> {
        let promotion = |(level, above): (usize, &Rung)| {
            let promotable = |sample: &u64| !rungs[level + 1..].iter().any(|rung| rung.has(*sample));
            let sample = rungs[level].best(self.reduction).into_iter().find(promotable)?;
            Some(Next::Promote { sample, epochs: above.epochs })
        };
        let start = || {
            let sample = (0..self.samples).find(|sample| !rungs.iter().any(|rung| rung.has(*sample)))?;
            Some(Next::Start { sample, epochs: rungs[0].epochs })
        };
        rungs[1..].iter().enumerate().rev().find_map(promotion).or_else(start)
    }

    /// Fills the lowest rung that is not complete; which trials belong to it is known when the one below is.
    fn next_synchronous(&self, rungs: &[Rung]) -> Option<Next> {
        let mut members: Vec<u64> = (0..self.samples).collect();
        for (level, rung) in rungs.iter().enumerate() {
            let epochs = rung.epochs;
            if let Some(&sample) = members.iter().find(|sample| !rung.has(**sample)) {
                return Some(if level == 0 {
                    Next::Start { sample, epochs }
                } else {
                    Next::Promote { sample, epochs }
                });
            }
            if members.iter().any(|sample| !rung.has_ended(*sample)) {
                return None;
            }
            members = rung.only(&members).best(self.reduction);
        }
        None
    }
}
