//! Ticks of an axis at round numbers.

use std::ops::Range;

/// A tick: its value and its label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) label: String,
}

/// Returns ticks at multiples of 1, 2 or 5 times a power of ten.
pub(super) fn linear(range: Range<f64>, most: usize) -> Vec<Tick> {
    every(step(&range, most), range)
}

/// Returns ticks at whole numbers.
pub(super) fn whole(range: Range<f64>, most: usize) -> Vec<Tick> {
    every(step(&range, most).max(1.0), range)
}

/// Spans up to this factor are short enough on a logarithmic axis for equally spaced values.
const NARROW: f64 = 6.0;

/// Returns ticks for a range of decimal logarithms: at 1, 2 and 5 times powers of ten, at 1 and 3 times or at powers alone, as there
/// is space; over a narrow range at multiples of a round number.
pub(super) fn log(range: Range<f64>, most: usize) -> Vec<Tick> {
    let (low, high) = (10_f64.powf(range.start), 10_f64.powf(range.end));
    if high < NARROW * low {
        return linear(low..high, most);
    }
    let within = |factors: &'static [f64]| {
        let powers = range.start.floor() as i32..=range.end.ceil() as i32;
        let values = powers.flat_map(move |power| factors.iter().map(move |it| it * 10_f64.powi(power)));
        values.filter(|value| (low..=high).contains(value)).collect::<Vec<f64>>()
    };
    let [dense, medium, powers] = [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]].map(within);
    let fitting = [dense, medium.clone(), powers].into_iter().find(|values| values.len() <= most);
    let values = match fitting {
        Some(values) if values.len() >= 2 => values,
        Some(_) => medium,
        None => within(&[1.0]).into_iter().step_by(2).collect(),
    };
    values.into_iter().map(|value| Tick { value, label: short(value) }).collect()
}

/// Returns a number in few characters: `850`, `12k`, `4.2M`, `1.5G`.
pub fn short(value: f64) -> String {
    let scaled = [(1e9, "G"), (1e6, "M"), (1e4, "k")].into_iter().find(|(unit, _)| value.abs() >= *unit);
    match scaled {
        Some((1e4, suffix)) => format!("{}{suffix}", significant(value / 1e3)),
        Some((unit, suffix)) => format!("{}{suffix}", significant(value / unit)),
        None => significant(value),
    }
}

/// Returns a number with three significant digits, without zeros at the end.
fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let digits = 2 - value.abs().log10().floor() as i32;
    let text = format!("{value:.*}", digits.max(0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Returns the smallest 1, 2 or 5 times a power of ten of which at most `most` multiples lie in the range.
fn step(range: &Range<f64>, most: usize) -> f64 {
    let least = (range.end - range.start) / most.max(1) as f64;
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|it| *it >= least).unwrap_or(least)
}

fn every(step: f64, range: Range<f64>) -> Vec<Tick> {
    let first = (range.start / step).ceil();
    let count = ((range.end / step).floor() - first).clamp(-1.0, 100.0) as i64 + 1;
    let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
    let label = |value: f64| match value.abs() >= 1e4 {
        true => short(value),
        false => format!("{value:.decimals$}"),
    };
    // Adding 0.0 turns -0 into 0.
    let values = (0..count).map(|index| (first + index as f64) * step + 0.0);
    values.map(|value| Tick { value, label: label(value) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ticks: Vec<Tick>, expected: &str) {
        let labels: Vec<String> = ticks.into_iter().map(|tick| tick.label).collect();
        assert_eq!(labels.join(" "), expected);
    }

    #[test]
    fn ticks_are_round_and_at_most_as_many_as_wanted() {
        check(linear(0.0..1.0, 5), "0.0 0.2 0.4 0.6 0.8 1.0");
        check(linear(0.071..0.128, 6), "0.08 0.09 0.10 0.11 0.12");
        check(linear(-0.01..0.012, 5), "-0.010 -0.005 0.000 0.005 0.010");
        check(linear(3_700_000.0..4_300_000.0, 4), "3.8M 4M 4.2M");
        check(whole(0.5..3.5, 10), "1 2 3");
        check(whole(1.0..64.0, 6), "20 40 60");
        check(log(1_f64.log10()..40_f64.log10(), 8), "1 2 5 10 20");
        check(log(0.0..6.0, 8), "1 10 100 1000 10k 100k 1M");
        check(log(29_f64.log10()..46_f64.log10(), 4), "30 35 40 45");
        check(log(4e7_f64.log10()..8e8_f64.log10(), 2), "100M 300M");
        check(log(0.0..8.0, 5), "1 100 10k 1M 100M");
    }

    #[test]
    fn a_range_without_length_has_no_ticks_or_one() {
        for ticks in [linear(1.0..1.0, 5), whole(1.0..1.0, 5), log(0.0..0.0, 5)] {
            assert!(ticks.len() <= 1, "{ticks:?}");
        }
    }

    #[test]
    fn numbers_are_short() {
        let shorts = [0.0, 0.0321, 2.25, 850.0, 9999.0, 12_000.0, 4_160_000.0, 1.5e9].map(short);
        assert_eq!(shorts, ["0", "0.0321", "2.25", "850", "9999", "12k", "4.16M", "1.5G"]);
    }
}
