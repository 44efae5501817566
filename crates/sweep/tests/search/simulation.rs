//! A simulated search: workers that ask for jobs, finish them in any order, and are killed.

use std::collections::BTreeMap;

use proptest::prelude::*;
use regatta_random::SplitMix64;
use regatta_sweep::{Method, Next, Running, Search, TrialState};

/// An event of a simulated search; the number says which running trial it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Ask,
    End(usize),
    Kill(usize),
}

/// A search with its trials so far, whose errors depend on seed, sample and budget alone.
pub(crate) struct Simulation {
    pub(crate) search: Search,
    pub(crate) trials: Vec<TrialState>,
    pub(crate) running: Vec<Running>,
    /// How many times each trial was given out, minus the times that it was killed.
    pub(crate) given: BTreeMap<Running, i32>,
    random: SplitMix64,
    seed: u64,
}

impl Simulation {
    pub(crate) fn new(search: Search, seed: u64) -> Self {
        let (trials, running, given) = Default::default();
        Self { search, trials, running, given, random: SplitMix64::new(seed), seed }
    }

    /// Returns the search's decision; the order in which trials are listed must not matter.
    pub(crate) fn next(&mut self) -> Next {
        self.random.shuffle(&mut self.trials);
        self.random.shuffle(&mut self.running);
        self.search.next(&self.trials, &self.running)
    }

    /// Gives out what the search decides.
    pub(crate) fn ask(&mut self) -> Next {
        let next = self.next();
        if let Next::Start { sample, epochs } | Next::Promote { sample, epochs } = next {
            let job = Running { sample, epochs };
            self.running.push(job);
            *self.given.entry(job).or_default() += 1;
        }
        next
    }

    pub(crate) fn happen(&mut self, event: Event) {
        match event {
            Event::Ask => drop(self.ask()),
            Event::End(_) | Event::Kill(_) if self.running.is_empty() => {}
            Event::End(which) => {
                self.running.sort();
                let Running { sample, epochs } = self.running.remove(which % self.running.len());
                self.trials.push(TrialState { sample, epochs, error: error(self.seed, sample, epochs) });
            }
            Event::Kill(which) => {
                self.running.sort();
                let job = self.running.remove(which % self.running.len());
                *self.given.entry(job).or_default() -= 1;
            }
        }
    }

    /// Goes on with one worker until the search is finished.
    pub(crate) fn finish(&mut self) {
        while self.ask() != Next::Finished {
            self.happen(Event::End(0));
        }
    }

    /// The trials that ended, in order of budget and sample.
    pub(crate) fn outcome(&self) -> Vec<(u64, u64)> {
        let mut ended: Vec<(u64, u64)> = self.trials.iter().map(|it| (it.epochs, it.sample)).collect();
        ended.sort_unstable();
        ended
    }

    /// The trials that ended at a budget: failed or not, error in steps, sample; best first.
    pub(crate) fn ranking(&self, epochs: u64) -> Vec<Rank> {
        let at = self.trials.iter().filter(|it| it.epochs == epochs);
        let mut ranks: Vec<Rank> = at.map(rank).collect();
        ranks.sort_unstable();
        ranks
    }
}

/// Whether a trial failed, its error in steps, and its sample.
pub(crate) type Rank = (bool, i64, u64);

fn rank(trial: &TrialState) -> Rank {
    (trial.error.is_none(), trial.error.map_or(0, |error| (error * STEPS as f64) as i64), trial.sample)
}

const STEPS: u64 = 16;

/// One trial in eight fails; errors are coarse, so that there are ties.
fn error(seed: u64, sample: u64, epochs: u64) -> Option<f64> {
    let mut random = SplitMix64::keyed(0, &[seed, sample, epochs]);
    (random.below(8) > 0).then(|| random.below(STEPS) as f64 / STEPS as f64)
}

/// Any valid search with up to 60 samples.
pub(crate) fn searches() -> impl Strategy<Value = Search> {
    let method = prop_oneof![Just(Method::Asha), Just(Method::SuccessiveHalving), Just(Method::Random)];
    let numbers = (2_u64..5, 1_u64..4, 1_u64..40, 1_u64..60);
    let search = (method, numbers).prop_map(|(method, (reduction, min_epochs, added, samples))| Search {
        method,
        reduction,
        min_epochs,
        max_epochs: min_epochs + added,
        samples,
    });
    search.prop_filter("a valid search", |search| search.validate().is_ok())
}

/// Any sequence of events, with a share of kills.
pub(crate) fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => Just(Event::Ask),
        3 => any::<usize>().prop_map(Event::End),
        1 => any::<usize>().prop_map(Event::Kill),
    ];
    proptest::collection::vec(event, 0..200)
}
