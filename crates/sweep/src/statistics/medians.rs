//! The difference of two medians.

use regatta_anynet::edf::{Bootstrap, quantile};
use regatta_random::SplitMix64;

use super::Interval;
use crate::random::Purpose;

/// Returns median(`first`) - median(`second`) with its percentile-bootstrap interval: both samples are drawn again, independently
/// and with replacement.
///
/// An interval that contains 0 says that samples of this size do not show which median is smaller. It is about the medians alone:
/// spaces with equal medians may differ in their best networks.
///
/// # Panics
/// If a sample is empty, or there are no resamples.
pub fn median_difference(first: &[f64], second: &[f64], bootstrap: Bootstrap) -> Interval {
    assert!(!first.is_empty() && !second.is_empty(), "a median needs a value");
    // In ascending order, so that the resamples do not depend on that of the input.
    let (first, second) = (&ascending(first), &ascending(second));
    let resample = |index: u64| {
        let mut random = Purpose::MedianDifference.stream(&[bootstrap.seed, index]);
        let first = median(drawn(first, &mut random));
        first - median(drawn(second, &mut random))
    };
    let resampled = (0..bootstrap.resamples as u64).map(resample).collect();
    Interval::of_resamples(median(first.to_vec()) - median(second.to_vec()), resampled, bootstrap.level)
}

fn drawn(values: &[f64], random: &mut SplitMix64) -> Vec<f64> {
    values.iter().map(|_| values[random.below(values.len() as u64) as usize]).collect()
}

fn median(values: Vec<f64>) -> f64 {
    quantile(&ascending(&values), 0.5)
}

fn ascending(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}
