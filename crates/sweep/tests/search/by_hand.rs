//! Small searches worked out by hand, and the numbers of the papers.

use regatta_sweep::{Method, Next, RungSummary, Running, Search, TrialState};

use super::nine_samples;

fn end(sample: u64, epochs: u64, error: f64) -> TrialState {
    TrialState { sample, epochs, error: Some(error) }
}

/// The errors after one, three and nine epochs.
const ERRORS: [[f64; 3]; 9] = [
    [0.50, 0.40, 0.30],
    [0.60, 0.30, 0.10],
    [0.40, 0.35, 0.25],
    [0.70, 0.60, 0.50],
    [0.30, 0.33, 0.20],
    [0.45, 0.20, 0.15],
    [0.80, 0.70, 0.60],
    [0.40, 0.10, 0.05],
    [0.90, 0.80, 0.70],
];

/// Runs a search with one worker; returns jobs as sample and epochs.
fn jobs(search: &Search) -> Vec<(u64, u64)> {
    let mut trials = Vec::new();
    loop {
        match search.next(&trials, &[]) {
            Next::Start { sample, epochs } | Next::Promote { sample, epochs } => {
                let rung = [1, 3, 9].iter().position(|it| *it == epochs).expect("a rung");
                trials.push(end(sample, epochs, ERRORS[sample as usize][rung]));
            }
            Next::Wait => panic!("a wait for nothing"),
            Next::Finished => return trials.iter().map(|it| (it.sample, it.epochs)).collect(),
        }
    }
}

#[test]
fn synchronous_halving_completes_each_rung() {
    let mut expected: Vec<(u64, u64)> = (0..9).map(|sample| (sample, 1)).collect();
    // Errors of 0.3, 0.4 and 0.4, then the smallest of 0.33, 0.35 and 0.1.
    expected.extend([(4, 3), (2, 3), (7, 3), (7, 9)]);
    assert_eq!(jobs(&nine_samples(Method::SuccessiveHalving)), expected);
}

#[test]
fn asynchronous_halving_promotes_at_once() {
    let expected = [
        (0, 1),
        (1, 1),
        (2, 1), // sample 2 is the best of three
        (2, 3),
        (3, 1),
        (4, 1), // sample 4 is the best of five
        (4, 3),
        (5, 1), // the best two of six, 4 and 2, are promoted
        (6, 1),
        (7, 1),
        (8, 1), // the best three of nine are 4, 2 and 7: 7 ties with 2
        (7, 3), // the best of three in the second rung
        (7, 9),
    ];
    assert_eq!(jobs(&nine_samples(Method::Asha)), expected);
}

#[test]
fn random_search_trains_every_sample_to_the_end() {
    let expected: Vec<(u64, u64)> = (0..9).map(|sample| (sample, 9)).collect();
    assert_eq!(jobs(&nine_samples(Method::Random)), expected);
}

#[test]
fn workers_wait_only_for_what_decides() {
    let trials: Vec<TrialState> = (0..8).map(|sample| end(sample, 1, ERRORS[sample as usize][0])).collect();
    let running = [Running { sample: 8, epochs: 1 }];
    assert_eq!(nine_samples(Method::SuccessiveHalving).next(&trials, &running), Next::Wait);
    assert_eq!(nine_samples(Method::Asha).next(&trials, &running), Next::Promote { sample: 4, epochs: 3 });
    assert_eq!(nine_samples(Method::Asha).next(&[], &running), Next::Start { sample: 0, epochs: 1 });
}

#[test]
fn failed_trials_are_the_worst_and_never_promoted() {
    let search = nine_samples(Method::SuccessiveHalving);
    let failed = |sample| TrialState { sample, epochs: 1, error: None };
    let mut trials: Vec<TrialState> = (0..8).map(failed).collect();
    trials.push(end(8, 1, f64::NAN));
    assert_eq!(search.next(&trials, &[]), Next::Finished);
    // Three may be promoted, but two did not fail.
    trials[5] = end(5, 1, 0.9);
    trials[3] = end(3, 1, 0.8);
    assert_eq!(search.next(&trials, &[]), Next::Promote { sample: 3, epochs: 3 });
    trials.push(end(3, 3, 0.8));
    assert_eq!(search.next(&trials, &[]), Next::Promote { sample: 5, epochs: 3 });
    trials.push(end(5, 3, 0.7));
    // 1 in 3 of two is none.
    assert_eq!(search.next(&trials, &[]), Next::Finished);
}

#[test]
fn rungs_and_costs_are_those_of_the_papers() {
    // Li et al. 2018, "Hyperband", table 1: the first bracket of R = 81 and eta = 3.
    let hyperband = Search { max_epochs: 81, samples: 81, ..nine_samples(Method::SuccessiveHalving) };
    assert_eq!(hyperband.rungs(), [1, 3, 9, 27, 81]);
    // Each rung trains 81 samples' worth of epochs, less those that were trained already.
    assert_eq!(hyperband.planned_epochs(), 81 + 27 * 2 + 9 * 6 + 3 * 18 + 54);
    let uneven = Search { min_epochs: 2, max_epochs: 20, ..hyperband };
    assert_eq!(uneven.rungs(), [2, 6, 18, 20]);
    assert_eq!(Search { method: Method::Random, ..uneven }.rungs(), [20]);
    assert_eq!(Search { method: Method::Random, ..uneven }.planned_epochs(), 81 * 20);
    let huge = Search { min_epochs: u64::MAX / 2, max_epochs: u64::MAX, ..hyperband };
    assert_eq!(huge.rungs(), [u64::MAX / 2, u64::MAX]);
}

#[test]
fn random_search_at_equal_cost_rounds_to_the_nearest_sample() {
    let search = nine_samples(Method::Asha);
    for (cost, expected) in [(0, 1), (9, 1), (13, 1), (14, 2), (21, 2), (23, 3), (90, 10)] {
        let random = search.random_with_equal_cost(cost);
        assert_eq!((random.method, random.samples), (Method::Random, expected), "{cost} epochs");
        assert_eq!(random.validate(), Ok(()));
    }
}

#[test]
fn a_summary_has_the_state_of_each_rung() {
    let failed = TrialState { sample: 3, epochs: 1, error: None };
    let trials = [end(0, 1, 0.5), end(1, 1, 0.4), end(2, 1, 0.4), failed, end(1, 3, 0.3)];
    let rung = |epochs, ended, failed, promoted, best: Option<(u64, f64)>| RungSummary {
        epochs,
        ended,
        failed,
        promoted,
        best_sample: best.map(|best| best.0),
        best_error: best.map(|best| best.1),
    };
    let expected =
        [rung(1, 4, 1, 1, Some((1, 0.4))), rung(3, 1, 0, 0, Some((1, 0.3))), rung(9, 0, 0, 0, None)];
    assert_eq!(nine_samples(Method::Asha).summary(&trials), expected);
    assert_eq!(nine_samples(Method::Asha).cost_epochs(&trials), 6);
}
