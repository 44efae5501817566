//! What holds for every decision of every search, whatever happened before.

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use regatta_sweep::{Method, Next, Running};

use super::simulation::{Event, Simulation, events, searches};

/// Whether a sample has ended or runs at a budget of at least `epochs`.
fn reached(simulation: &Simulation, sample: u64, epochs: u64) -> bool {
    let ended = simulation.trials.iter().any(|it| it.sample == sample && it.epochs >= epochs);
    ended || simulation.running.iter().any(|it| it.sample == sample && it.epochs >= epochs)
}

/// The samples of rung `level` that the paper's algorithm 2 may promote: the top 1 in eta, not yet promoted.
fn promotable(simulation: &Simulation, level: usize) -> Vec<u64> {
    let rungs = simulation.search.rungs();
    let ranking = simulation.ranking(rungs[level]);
    let top = &ranking[..ranking.len() / simulation.search.reduction as usize];
    let succeeded = top.iter().filter(|(failed, ..)| !failed).map(|(.., sample)| *sample);
    succeeded.filter(|sample| !reached(simulation, *sample, rungs[level + 1])).collect()
}

fn check(simulation: &mut Simulation) -> TestCaseResult {
    let next = simulation.next();
    let search = simulation.search;
    let rungs = search.rungs();
    let promotable: Vec<Vec<u64>> = (0..rungs.len() - 1).map(|level| promotable(simulation, level)).collect();
    let fresh = (0..search.samples).find(|sample| !reached(simulation, *sample, 0));
    let highest = promotable.iter().rposition(|samples| !samples.is_empty());
    match next {
        Next::Start { sample, epochs } => {
            prop_assert_eq!((Some(sample), epochs), (fresh, rungs[0]));
            prop_assert!(search.method != Method::Asha || highest.is_none(), "a promotion was due");
        }
        Next::Promote { sample, epochs } => {
            let level = rungs.iter().position(|it| *it == epochs).expect("a rung") - 1;
            prop_assert!(promotable[level].contains(&sample), "{} is not the best of its rung", sample);
            if search.method == Method::Asha {
                prop_assert_eq!(highest, Some(level));
            } else {
                let is_below = |it: &Running| it.epochs <= rungs[level];
                prop_assert!(
                    fresh.is_none() && !simulation.running.iter().any(is_below),
                    "the rung is not complete"
                );
            }
        }
        Next::Wait => {
            prop_assert!(!simulation.running.is_empty(), "nothing runs");
            prop_assert!(fresh.is_none(), "sample {:?} could start", fresh);
            prop_assert!(search.method != Method::Asha || highest.is_none(), "a promotion was due");
        }
        Next::Finished => {
            prop_assert!(simulation.running.is_empty() && fresh.is_none() && highest.is_none());
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn each_decision_is_one_that_its_method_allows(search in searches(), seed: u64, events in events()) {
        let mut simulation = Simulation::new(search, seed);
        for event in events {
            check(&mut simulation)?;
            simulation.happen(event);
        }
        while check(&mut simulation).map(|()| simulation.ask())? != Next::Finished {
            simulation.happen(Event::End(0));
        }
    }

    /// A wait with nothing running would last for ever.
    #[test]
    fn a_killed_search_always_goes_on(search in searches(), seed: u64, events in events()) {
        let mut simulation = Simulation::new(search, seed);
        for event in events {
            simulation.happen(event);
            prop_assert_ne!(search.next(&simulation.trials, &[]), Next::Wait);
        }
    }

    #[test]
    fn a_single_worker_that_is_killed_gets_the_same_job_again(search in searches(), seed: u64) {
        let mut simulation = Simulation::new(search, seed);
        loop {
            let job = simulation.ask();
            if job == Next::Finished {
                break;
            }
            simulation.happen(Event::Kill(0));
            prop_assert_eq!(simulation.ask(), job);
            simulation.happen(Event::End(0));
        }
    }
}
