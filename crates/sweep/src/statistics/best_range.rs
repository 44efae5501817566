//! The range of a parameter among the best networks.

use regatta_anynet::edf::{Bootstrap, quantile};

use super::Interval;
use crate::random::Purpose;

/// One network in so many is drawn for each resample.
const SHARE: usize = 4;
/// Fewest networks for which the range says anything.
const FEWEST: usize = 4;

/// Returns the range of a parameter's value among the best networks, by the paper's empirical bootstrap (Radosavovic et al. 2020,
/// section 3.2, figure 4 and its references): a quarter of the networks is drawn with replacement, the value of the one with
/// the smallest error is taken, and so for each resample. The estimate is the median of these values, the interval contains a
/// fraction `level` of them. None for fewer than four networks.
///
/// It shows which values good networks tend to have. It does not show that the parameter is the cause: parameters depend on each
/// other within a window of complexity.
///
/// # Panics
/// If there are not as many errors as values, or no resamples.
pub fn range_of_best(values: &[f64], errors: &[f64], bootstrap: Bootstrap) -> Option<Interval> {
    assert_eq!(values.len(), errors.len(), "an error for each network");
    if values.len() < FEWEST {
        return None;
    }
    // In ascending order, so that the resamples do not depend on that of the input.
    let mut networks: Vec<(f64, f64)> = errors.iter().copied().zip(values.iter().copied()).collect();
    networks.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let drawn = (values.len() + SHARE / 2) / SHARE;
    let best = |index: u64| {
        let mut random = Purpose::RangeOfBest.stream(&[bootstrap.seed, index]);
        let drawn = (0..drawn).map(|_| networks[random.below(networks.len() as u64) as usize]);
        // Of equal errors, the one that was drawn first.
        drawn.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(f64::NAN, |(_, value)| value)
    };
    let mut resampled: Vec<f64> = (0..bootstrap.resamples as u64).map(best).collect();
    resampled.sort_by(f64::total_cmp);
    let median = quantile(&resampled, 0.5);
    Some(Interval::of_resamples(median, resampled, bootstrap.level))
}
