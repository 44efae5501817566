//! Each distribution against its exact probabilities, at fixed seeds.

use std::collections::BTreeMap;

use toml::Value;

use super::draws;

const DRAWS: u64 = 20_000;
/// The Kolmogorov distribution's quantile for a level of 0.001: a true law fails for one seed in a thousand.
const KOLMOGOROV_QUANTILE: f64 = 1.949_5;

/// The Kolmogorov-Smirnov test of a continuous distribution function.
fn check_continuous(table: &str, distribution: impl Fn(f64) -> f64) {
    let mut values: Vec<f64> =
        draws(table, DRAWS).iter().map(|it| it.as_float().expect("a real number")).collect();
    values.sort_by(f64::total_cmp);
    let total = values.len() as f64;
    let gap = |(index, &value): (usize, &f64)| {
        let share = distribution(value);
        (share - index as f64 / total).max((index + 1) as f64 / total - share)
    };
    let distance = values.iter().enumerate().map(gap).fold(0.0, f64::max);
    let critical = KOLMOGOROV_QUANTILE / total.sqrt();
    assert!(distance < critical, "{table}: distance {distance:.5}, {critical:.5} is critical");
}

/// Pearson's chi-square test of a distribution over few values; `critical` is the quantile for a level of 0.001 from a table.
fn check_discrete(table: &str, law: &[(Value, f64)], critical: f64) {
    let mut observed: BTreeMap<String, f64> = BTreeMap::new();
    for value in draws(table, DRAWS) {
        assert!(law.iter().any(|(known, _)| *known == value), "{table} gives {value}");
        *observed.entry(value.to_string()).or_default() += 1.0;
    }
    let term = |(value, probability): &(Value, f64)| {
        let expected = probability * DRAWS as f64;
        (observed.get(&value.to_string()).copied().unwrap_or(0.0) - expected).powi(2) / expected
    };
    let statistic: f64 = law.iter().map(term).sum();
    assert!(statistic < critical, "{table}: chi-square {statistic:.1}, {critical} is critical");
}

fn equally_likely(values: impl IntoIterator<Item = impl Into<Value>>) -> Vec<(Value, f64)> {
    let values: Vec<Value> = values.into_iter().map(Into::into).collect();
    let share = 1.0 / values.len() as f64;
    values.into_iter().map(|value| (value, share)).collect()
}

fn normal(x: f64) -> f64 {
    0.5 * libm::erfc(-x / 2.0_f64.sqrt())
}

#[test]
fn real_numbers_follow_their_laws() {
    check_continuous("k = { uniform = [-1, 3.0] }", |x| (x + 1.0) / 4.0);
    check_continuous("k = { log_uniform = [1e-4, 1.0] }", |x| (x / 1e-4).ln() / 1e4_f64.ln());
    check_continuous("k = { normal = { mean = 3.0, std = 0.5 } }", |x| normal((x - 3.0) / 0.5));
    let truncated = "k = { normal = { mean = 0, std = 1, min = 1.0, max = 3.0 } }";
    check_continuous(truncated, |x| (normal(x) - normal(1.0)) / (normal(3.0) - normal(1.0)));
    check_continuous("k = { normal = { mean = 0, std = 2, max = 0 } }", |x| 2.0 * normal(x / 2.0));
}

#[test]
fn integers_powers_and_choices_follow_their_laws() {
    check_discrete("k = { uniform = [1, 9], integer = true }", &equally_likely(1..=9), 26.12);
    check_discrete("k = { powers_of_two = [16, 256] }", &equally_likely([16, 32, 64, 128, 256]), 18.47);
    check_discrete(
        "k = { choice = ['sgd', 'lamb', 'lars'] }",
        &equally_likely(["sgd", "lamb", "lars"]),
        13.82,
    );
    let log_uniform: Vec<_> =
        (1..=4).map(|it| (Value::from(it), ((it + 1) as f64 / it as f64).ln() / 5_f64.ln())).collect();
    check_discrete("k = { log_uniform = [1, 4], integer = true }", &log_uniform, 16.27);
}

#[test]
fn a_choice_is_of_any_values() {
    let values = draws("k = { choice = [1, 0.5, true, 'a', [1, 2], { b = 3 }] }", 200);
    for expected in ["1", "0.5", "true", "\"a\"", "[1, 2]", "{ b = 3 }"] {
        assert!(values.iter().any(|value| value.to_string() == expected), "{expected} is never chosen");
    }
}

#[test]
fn the_tests_of_laws_reject_other_laws() {
    let shifted = || check_continuous("k = { uniform = [0, 1] }", |x| x * x);
    assert!(std::panic::catch_unwind(shifted).is_err());
    let loaded = || {
        check_discrete(
            "k = { uniform = [1, 2], integer = true }",
            &[(1.into(), 0.53), (2.into(), 0.47)],
            10.83,
        )
    };
    assert!(std::panic::catch_unwind(loaded).is_err());
}
