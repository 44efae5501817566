//! Statistics: laws, closed forms, and SciPy's results.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use regatta_anynet::edf::{Comparison, Edf};
use regatta_random::SplitMix64;
use regatta_sweep::statistics::{
    Bootstrap, KolmogorovSmirnov, SeedNoise, WeightedEdf, equal_complexity_weights, median_difference,
    range_of_best, spearman,
};
use serde_json::{Value, json};

const BOOTSTRAP: Bootstrap = Bootstrap { seed: 3, resamples: 500, level: 0.95 };

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
}

#[test]
fn separate_samples_have_the_largest_distance() {
    // Of the 6 orders of two and two values, two keep the samples apart.
    let test = KolmogorovSmirnov::of(&[1.0, 2.0], &[3.0, 4.0]);
    close(test.distance, 1.0);
    close(test.p_value, 2.0 / 6.0);
    // Of the 10 orders of three and two values, all but `a b a b a` have a distance above 1/3.
    let mixed = KolmogorovSmirnov::of(&[1.0, 3.0, 5.0], &[2.0, 4.0]);
    close(mixed.distance, 1.0 / 3.0);
    close(mixed.p_value, 1.0);
    assert_eq!(KolmogorovSmirnov::of(&[1.0], &[1.0]), KolmogorovSmirnov { distance: 0.0, p_value: 1.0 });
    assert_eq!(KolmogorovSmirnov::of(&[], &[1.0]).p_value, 1.0);
}

#[test]
fn medians_of_constant_samples_have_no_interval() {
    let difference = median_difference(&[3.0; 5], &[1.0; 4], BOOTSTRAP);
    assert_eq!((difference.estimate, difference.low, difference.high), (2.0, 2.0, 2.0));
}

#[test]
fn the_best_are_those_with_small_errors() {
    // The error grows with the value, so that the best of a sample is its smallest value.
    let values: Vec<f64> = (0..40).map(f64::from).collect();
    let range = range_of_best(&values, &values, Bootstrap { resamples: 20_000, ..BOOTSTRAP }).unwrap();
    // Ten of forty are drawn: the smallest is above k with the probability ((39 - k) / 40)^10, which is 0.60 for k = 1 and 0.46 for
    // k = 2, 0.028 for k = 11 and 0.020 for k = 12. Nine would give 13, eleven 11.
    assert_eq!((range.low, range.estimate, range.high), (0.0, 2.0, 12.0));
    assert_eq!(range_of_best(&[1.0; 3], &[1.0; 3], BOOTSTRAP), None);
}

#[test]
fn weights_spread_each_group_evenly_over_the_bins_of_all() {
    // Bins of width 1 from 0 to 4; the last has no network of the second group.
    let weighted = equal_complexity_weights(&[&[0.0, 0.5, 1.5, 2.5, 4.0], &[0.1, 1.2, 1.3, 2.9]], 4);
    assert_eq!(weighted.dropped, [3]);
    let third = 1.0 / 3.0;
    assert_eq!(weighted.weights[0], [third / 2.0, third / 2.0, third, third, 0.0]);
    assert_eq!(weighted.weights[1], [third, third / 2.0, third / 2.0, third]);
    let apart = equal_complexity_weights(&[&[0.0], &[1.0]], 2);
    assert_eq!((apart.weights, apart.dropped), (vec![vec![0.0], vec![0.0]], vec![0, 1]));
}

#[test]
fn a_weighted_distribution_by_hand() {
    let edf = WeightedEdf::new(&[0.3, 0.1, 0.2, 0.1], &[1.0, 2.0, 0.0, 1.0]);
    assert_eq!(edf.steps(), [(0.1, 0.75), (0.3, 1.0)]);
    close(edf.mean(), 0.15);
    assert_eq!(edf.median(), 0.1);
    let none = WeightedEdf::new(&[0.3], &[0.0]);
    assert!(none.steps().is_empty() && none.mean().is_nan() && none.median().is_nan());
}

#[test]
fn noise_of_seeds_by_hand() {
    // Within: ((1 + 1) + (1 + 1)) / 2 = 2. Between: 2 (5^2 + 5^2) / 1 = 100; (100 - 2) / 2 = 49.
    let noise = SeedNoise::of(&[vec![9.0, 11.0], vec![19.0, 21.0], vec![100.0]]).unwrap();
    assert_eq!(noise.networks, 2);
    close(noise.within, 2.0_f64.sqrt());
    close(noise.between, 7.0);
    // Seeds explain everything.
    assert_eq!(SeedNoise::of(&[vec![0.0, 10.0], vec![10.0, 0.0]]).unwrap().between, 0.0);
    assert_eq!(SeedNoise::of(&[vec![1.0, 2.0], vec![1.0]]), None);
}

#[test]
fn rank_correlations_by_hand() {
    close(spearman(&[1.0, 2.0, 3.0], &[1.0, 4.0, 9.0]), 1.0);
    close(spearman(&[1.0, 2.0, 3.0], &[5.0, 0.0, -5.0]), -1.0);
    assert!(spearman(&[1.0, 2.0], &[3.0, 3.0]).is_nan());
}

/// Errors with two decimals, so that some are equal.
fn sample() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((0..60_u32).prop_map(|hundredth| f64::from(hundredth) / 100.0), 1..30)
}

proptest! {
    #[test]
    fn the_test_is_symmetric_and_ignores_order(mut first in sample(), second in sample()) {
        let test = KolmogorovSmirnov::of(&first, &second);
        prop_assert!((0.0..=1.0 + 1e-12).contains(&test.p_value) && (0.0..=1.0).contains(&test.distance));
        let turned = KolmogorovSmirnov::of(&second, &first);
        prop_assert!((test.p_value - turned.p_value).abs() < 1e-9 && test.distance == turned.distance);
        first.reverse();
        prop_assert_eq!(KolmogorovSmirnov::of(&first, &second), test);
        let (one, other) = (Edf::new(first).unwrap(), Edf::new(second).unwrap());
        prop_assert!((Comparison::of(&one, &other).distance - test.distance).abs() < 1e-12);
    }

    #[test]
    fn intervals_of_medians_are_ordered_and_turn_with_the_samples(first in sample(), second in sample()) {
        let interval = median_difference(&first, &second, BOOTSTRAP);
        prop_assert!(interval.low <= interval.high);
        let turned: Vec<f64> = first.iter().rev().copied().collect();
        prop_assert_eq!(median_difference(&turned, &second, BOOTSTRAP), interval, "the same resamples in any order");
        let extent = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
            - values.iter().copied().fold(f64::INFINITY, f64::min);
        prop_assert!(interval.high - interval.low <= extent(&first) + extent(&second) + 1e-12);
        let shifted: Vec<f64> = first.iter().map(|error| error + 1.0).collect();
        let moved = median_difference(&shifted, &second, BOOTSTRAP);
        prop_assert!((moved.low - interval.low - 1.0).abs() < 1e-9 && (moved.high - interval.high - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_range_of_the_best_lies_among_the_values(errors in prop::collection::vec(0.0..1.0, 4..40_usize)) {
        let values: Vec<f64> = errors.iter().map(|error: &f64| (error * 7.0).sin()).collect();
        let range = range_of_best(&values, &errors, BOOTSTRAP).unwrap();
        let (low, high) = (values.iter().copied().fold(1.0, f64::min), values.iter().copied().fold(-1.0, f64::max));
        prop_assert!(low <= range.low && range.low <= range.estimate);
        prop_assert!(range.estimate <= range.high && range.high <= high);
    }

    #[test]
    fn weighted_complexities_are_distributed_equally(
        first in prop::collection::vec(1.0..10.0, 5..40_usize), second in prop::collection::vec(1.0..10.0, 5..40_usize),
    ) {
        let weighted = equal_complexity_weights(&[&first, &second], 5);
        let low = first.iter().chain(&second).copied().fold(f64::INFINITY, f64::min);
        let high = first.iter().chain(&second).copied().fold(0.0, f64::max);
        let of_bin = |values: &[f64], weights: &[f64], bin: usize| -> f64 {
            let is_in = |value: f64| (((value - low) / (high - low) * 5.0) as usize).min(4) == bin;
            values.iter().zip(weights).filter(|(value, _)| is_in(**value)).map(|(_, weight)| weight).sum()
        };
        for bin in 0..5 {
            let shares = [of_bin(&first, &weighted.weights[0], bin), of_bin(&second, &weighted.weights[1], bin)];
            prop_assert!((shares[0] - shares[1]).abs() < 1e-12);
            prop_assert_eq!(weighted.dropped.contains(&bin), shares[0] == 0.0);
        }
        if weighted.dropped.len() < 5 {
            prop_assert!((weighted.weights[0].iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn equal_weights_give_the_plain_distribution(errors in sample()) {
        let weighted = WeightedEdf::new(&errors, &vec![0.3; errors.len()]);
        let plain = Edf::new(errors.clone()).unwrap();
        for (error, share) in weighted.steps() {
            let expected = errors.iter().filter(|it| **it <= error).count() as f64 / errors.len() as f64;
            prop_assert!((share - expected).abs() < 1e-12);
        }
        prop_assert!((weighted.mean() - plain.mean()).abs() < 1e-12);
        prop_assert!((weighted.median() - plain.median()).abs() < 1e-12);
    }
}

/// Samples of different and equal sizes, with and without ties.
fn cases() -> Vec<(Vec<f64>, Vec<f64>)> {
    let mut random = SplitMix64::new(11);
    let mut sample = |size: usize, shift: f64, decimals: f64| -> Vec<f64> {
        let number = |random: &mut SplitMix64| (random.unit() + random.unit()) / 2.0 + shift;
        (0..size).map(|_| (number(&mut random) * decimals).floor() / decimals).collect()
    };
    vec![
        (sample(24, 0.0, 1e9), sample(24, 0.1, 1e9)),
        (sample(24, 0.0, 1e9), sample(24, 0.4, 1e9)),
        (sample(30, 0.0, 1e9), sample(11, 0.2, 1e9)),
        (sample(24, 0.0, 20.0), sample(24, 0.1, 20.0)),
        (sample(7, 0.0, 10.0), sample(60, 0.0, 10.0)),
        (sample(100, 0.0, 1e9), sample(100, 0.05, 1e9)),
        (sample(40, 0.0, 1e9), sample(40, 1.0, 1e9)),
    ]
}

#[test]
fn statistics_equal_scipys() {
    let folder = tempfile::tempdir().unwrap();
    let cases = cases();
    let described: Vec<Value> =
        cases.iter().map(|(first, second)| json!({ "first": first, "second": second })).collect();
    fs::write(folder.path().join("cases.json"), Value::from(described).to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/statistics.py");
    if let Err(reason) = test_jobs::run_script(&script, folder.path()) {
        println!("skipped: {reason}");
        return;
    }
    let results: Vec<Value> =
        serde_json::from_slice(&fs::read(folder.path().join("results.json")).unwrap()).unwrap();
    for ((first, second), theirs) in cases.iter().zip(&results) {
        let number = |key: &str| theirs[key].as_f64().unwrap();
        let test = KolmogorovSmirnov::of(first, second);
        close(test.distance, number("distance"));
        let ratio = test.p_value / number("p_value");
        assert!((ratio - 1.0).abs() < 1e-10, "{} {}", test.p_value, number("p_value"));
        let bootstrap = Bootstrap { seed: 0, resamples: 40_000, level: 0.95 };
        let interval = median_difference(first, second, bootstrap);
        for (end, key) in [(interval.low, "low"), (interval.high, "high")] {
            let [least, most] = [0, 1].map(|place| theirs[key][place].as_f64().unwrap());
            assert!((least - 1e-9..=most + 1e-9).contains(&end), "{end} is not in {least} to {most}");
        }
        if first.len() == second.len() {
            close(spearman(first, second), number("spearman"));
            let weighted = WeightedEdf::new(first, second);
            close(weighted.mean(), number("weighted_mean"));
            let steps: Vec<(f64, f64)> = serde_json::from_value(theirs["weighted_steps"].clone()).unwrap();
            assert_eq!(weighted.steps().len(), steps.len());
            for (ours, theirs) in weighted.steps().into_iter().zip(steps) {
                close(ours.0, theirs.0);
                close(ours.1, theirs.1);
            }
        }
    }
}
