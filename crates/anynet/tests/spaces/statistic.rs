//! Goodness of fit: whether draws follow a law. Seeds are fixed, so that a test that passes once passes for ever.

use std::collections::BTreeMap;
use std::fmt::Debug;

/// The normal distribution's quantile for a level of 0.001: a true law fails for one seed in a thousand.
const NORMAL_QUANTILE: f64 = 3.090_2;
/// The Kolmogorov distribution's quantile for the same level.
const KOLMOGOROV_QUANTILE: f64 = 1.949_5;

/// Pearson's chi-square test of `draws` against the probability of each value, at the level of 0.001.
///
/// Values that fewer than five draws are expected of are one category.
pub(crate) fn check_law<T: Ord + Debug>(
    what: &str,
    draws: impl IntoIterator<Item = T>,
    law: &BTreeMap<T, f64>,
) {
    let mut observed: BTreeMap<T, u64> = BTreeMap::new();
    for draw in draws {
        assert!(law.contains_key(&draw), "{what} is {draw:?}, which its law never draws");
        *observed.entry(draw).or_default() += 1;
    }
    let total_probability: f64 = law.values().sum();
    assert!((total_probability - 1.0).abs() < 1e-9, "{what}: the probabilities sum to {total_probability}");

    let total = observed.values().sum::<u64>() as f64;
    let cell = |(value, probability): (&T, &f64)| {
        (observed.get(value).copied().unwrap_or(0) as f64, probability * total)
    };
    let (mut cells, rare): (Vec<_>, Vec<_>) =
        law.iter().map(cell).partition(|(_, expected)| *expected >= 5.0);
    let together = rare.iter().fold((0.0, 0.0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
    if together.1 >= 5.0 {
        cells.push(together);
    }
    assert!(cells.len() > 1, "{what}: one category tells nothing");
    let statistic: f64 = cells.iter().map(|(seen, expected)| (seen - expected).powi(2) / expected).sum();
    let critical = chi_square_quantile((cells.len() - 1) as f64);
    assert!(
        statistic < critical,
        "{what}: chi-square {statistic:.1} of {} cells, {critical:.1} is critical",
        cells.len()
    );
}

/// The quantile for the level of 0.001, by Wilson and Hilferty's approximation: 3 % too lax at one degree, exact at many.
fn chi_square_quantile(degrees: f64) -> f64 {
    let variance = 2.0 / (9.0 * degrees);
    degrees * (1.0 - variance + NORMAL_QUANTILE * variance.sqrt()).powi(3)
}

/// The Kolmogorov-Smirnov test of `draws` against a continuous distribution function, at the level of 0.001.
pub(crate) fn check_continuous(what: &str, mut draws: Vec<f64>, distribution: impl Fn(f64) -> f64) {
    draws.sort_by(f64::total_cmp);
    let total = draws.len() as f64;
    let gap = |(index, &draw): (usize, &f64)| {
        let share = distribution(draw);
        (share - index as f64 / total).max((index + 1) as f64 / total - share)
    };
    let distance = draws.iter().enumerate().map(gap).fold(0.0, f64::max);
    let critical = KOLMOGOROV_QUANTILE / total.sqrt();
    assert!(distance < critical, "{what}: distance {distance:.5}, {critical:.5} is critical");
}

/// The law that all of `values` are equally likely.
pub(crate) fn uniform<T: Ord + Copy>(values: &[T]) -> BTreeMap<T, f64> {
    values.iter().map(|value| (*value, 1.0 / values.len() as f64)).collect()
}

/// The distribution function of a log-uniform number from `low` to `high`.
pub(crate) fn log_uniform(low: f64, high: f64) -> impl Fn(f64) -> f64 {
    move |value| (value / low).ln() / (high / low).ln()
}

#[test]
fn the_statistical_tests_reject_other_distributions() {
    // From a table of the distribution.
    for (degrees, expected, tolerance) in [(1.0, 10.828, 0.04), (5.0, 20.515, 0.02), (100.0, 149.449, 0.001)]
    {
        let quantile = chi_square_quantile(degrees);
        assert!(
            (quantile / expected - 1.0).abs() < tolerance,
            "{quantile} for {degrees} degrees, not {expected}"
        );
    }
    let loaded = || {
        let draws = (0..6_000).map(|throw| if throw % 30 == 0 { 6 } else { throw % 6 + 1 });
        check_law("a loaded die", draws, &uniform(&[1, 2, 3, 4, 5, 6]));
    };
    assert!(std::panic::catch_unwind(loaded).is_err(), "a six for every fifth one goes unnoticed");
    let skewed =
        || check_continuous("a square", (0..2_000).map(|it| (it as f64 / 2e3).powi(2)).collect(), |it| it);
    assert!(std::panic::catch_unwind(skewed).is_err(), "squares pass for uniform numbers");
}
