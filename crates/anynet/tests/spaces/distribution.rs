//! Each law of a single parameter against its exact probabilities.

use std::collections::{BTreeMap, BTreeSet};

use regatta_anynet::SplitMix64;
use regatta_anynet::space::distribution::{
    LogUniform, LogUniformMultiples, PowersOfTwo, Uniform, UniformIntegers, choice,
};

use crate::statistic::{check_continuous, check_law, log_uniform, uniform};

const DRAWS: usize = 100_000;

fn draws<T>(seed: u64, mut draw: impl FnMut(&mut SplitMix64) -> T) -> Vec<T> {
    let mut random = SplitMix64::new(seed);
    (0..DRAWS).map(|_| draw(&mut random)).collect()
}

fn check_multiples(quantum: i64, low: i64, high: i64) {
    let law = LogUniformMultiples::new(quantum, low, high);
    // Written out anew, since the law's own `probability` is under test as well.
    let probability = |value: i64| {
        let (value, quantum, low, high) = (value as f64, quantum as f64, low as f64, high as f64);
        ((value + quantum) / value).ln() / ((high + quantum) / low).ln()
    };
    let values = (low..=high).step_by(quantum as usize);
    let expected: BTreeMap<i64, f64> = values.map(|value| (value, probability(value))).collect();
    for (value, probability) in &expected {
        assert!((law.probability(*value) - probability).abs() < 1e-12, "{value} of {law:?}");
    }
    check_law(&format!("{law:?}"), draws(1, |random| law.draw(random)), &expected);
}

#[test]
fn multiples_are_log_uniform() {
    check_multiples(1, 1, 16);
    check_multiples(8, 8, 1024);
    check_multiples(8, 64, 72);
    check_multiples(3, 6, 30);
}

#[test]
fn only_multiples_are_drawn() {
    let law = LogUniformMultiples::new(8, 8, 1024);
    for value in [-8, 0, 7, 12, 1_025, 1_032] {
        assert_eq!(law.probability(value), 0.0, "{value}");
    }
    let only = LogUniformMultiples::new(8, 48, 48);
    assert_eq!(draws(2, |random| only.draw(random)).into_iter().collect::<BTreeSet<_>>(), [48].into());
}

#[test]
fn integers_powers_and_choices_are_uniform() {
    let powers = PowersOfTwo { lowest_exponent: 0, highest_exponent: 5 };
    check_law("a power of two", draws(3, |random| powers.draw(random)), &uniform(&[1, 2, 4, 8, 16, 32]));
    let integers = UniformIntegers { low: -2, high: 4 };
    check_law("an integer", draws(4, |random| integers.draw(random)), &uniform(&[-2, -1, 0, 1, 2, 3, 4]));
    let letters = ['x', 'y', 'z'];
    check_law("a letter", draws(5, |random| choice(&letters, random)), &uniform(&letters));
}

#[test]
fn real_numbers_are_uniform_or_log_uniform() {
    let flat = Uniform { low: -1.0, high: 3.0 };
    check_continuous("uniform", draws(6, |random| flat.draw(random)), |value| (value + 1.0) / 4.0);
    let steep = LogUniform { low: 1.5, high: 256.0 };
    let values = draws(7, |random| steep.draw(random));
    assert!(values.iter().all(|value| (1.5..=256.0).contains(value)));
    check_continuous("log-uniform", values, log_uniform(1.5, 256.0));
}

#[test]
fn the_generator_is_the_reference_code() {
    // The first numbers of Vigna's splitmix64.c from the state 1234567.
    let mut random = SplitMix64::new(1_234_567);
    let numbers = [random.next_u64(), random.next_u64(), random.next_u64()];
    assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
}
