//! What holds at the end of every search.

use std::collections::BTreeSet;

use proptest::prelude::*;
use regatta_sweep::Method;

use super::simulation::{Simulation, events, searches};

fn samples(simulation: &Simulation, epochs: u64) -> BTreeSet<u64> {
    simulation.ranking(epochs).iter().map(|(.., sample)| *sample).collect()
}

proptest! {
    /// Interruptions included: a trial is given out again only if it was killed.
    #[test]
    fn every_trial_is_trained_once(search in searches(), seed: u64, events in events()) {
        let mut simulation = Simulation::new(search, seed);
        events.into_iter().for_each(|event| simulation.happen(event));
        simulation.finish();
        let ended = simulation.outcome();
        prop_assert_eq!(ended.iter().collect::<BTreeSet<_>>().len(), ended.len(), "a trial ended twice");
        for (job, times) in &simulation.given {
            prop_assert_eq!(*times, i32::from(ended.contains(&(job.epochs, job.sample))), "{:?}", job);
        }
        let lowest = samples(&simulation, search.rungs()[0]);
        prop_assert_eq!(lowest, (0..search.samples).collect());
    }

    #[test]
    fn the_best_of_each_rung_are_promoted_and_the_worst_never(search in searches(), seed: u64, events in events()) {
        let mut simulation = Simulation::new(search, seed);
        events.into_iter().for_each(|event| simulation.happen(event));
        simulation.finish();
        let reduction = search.reduction as usize;
        for pair in search.rungs().windows(2) {
            let (ranking, promoted) = (simulation.ranking(pair[0]), samples(&simulation, pair[1]));
            let best = ranking.iter().take(ranking.len() / reduction).filter(|(failed, ..)| !failed);
            let best: BTreeSet<u64> = best.map(|(.., sample)| *sample).collect();
            // A trial is promoted while it is in the top 1 in eta of at least eta trials: the worst eta - 1 never are.
            let eligible = ranking.iter().take((ranking.len() + 1).saturating_sub(reduction));
            let eligible: BTreeSet<u64> = eligible.filter(|(failed, ..)| !failed).map(|(.., sample)| *sample).collect();
            prop_assert!(promoted.is_superset(&best) && promoted.is_subset(&eligible));
            prop_assert!(search.method == Method::Asha || promoted == best);
        }
    }

    #[test]
    fn a_synchronous_outcome_does_not_depend_on_the_order_of_events(
        search in searches().prop_filter("synchronous", |search| search.method != Method::Asha),
        seed: u64,
        events in events(),
    ) {
        let mut disturbed = Simulation::new(search, seed);
        events.into_iter().for_each(|event| disturbed.happen(event));
        disturbed.finish();
        let mut sequential = Simulation::new(search, seed);
        sequential.finish();
        prop_assert_eq!(disturbed.outcome(), sequential.outcome());
    }

    #[test]
    fn costs_count_each_epoch_once(search in searches(), seed: u64, events in events()) {
        let mut simulation = Simulation::new(search, seed);
        events.into_iter().for_each(|event| simulation.happen(event));
        simulation.finish();
        let rungs = search.rungs();
        let added = |epochs| epochs - rungs.iter().rev().find(|it| **it < epochs).copied().unwrap_or(0);
        let cost = search.cost_epochs(&simulation.trials);
        prop_assert_eq!(cost, simulation.trials.iter().map(|it| added(it.epochs)).sum::<u64>());
        let has_failures = simulation.trials.iter().any(|it| it.error.is_none());
        prop_assert!(has_failures || cost >= search.planned_epochs());
        prop_assert!(search.method == Method::Asha || cost <= search.planned_epochs());
        let random = search.random_with_equal_cost(cost);
        let difference = (random.samples * random.max_epochs).abs_diff(cost);
        prop_assert!(difference <= random.max_epochs / 2 || random.samples == 1);
    }
}
