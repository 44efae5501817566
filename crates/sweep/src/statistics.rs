//! Statistics that compare samples of networks: what a difference between two spaces of so few networks can mean.
//!
//! They are pure functions; those that resample take a [`Bootstrap`] with a seed. Quantiles are those of type 7 of Hyndman and
//! Fan (1996), the default of numpy and R.

mod best_range;
mod equal_complexity;
mod kolmogorov_smirnov;
mod medians;
mod noise;
mod rank_correlation;

pub use best_range::range_of_best;
pub use equal_complexity::{EqualComplexity, WeightedEdf, equal_complexity_weights};
pub use kolmogorov_smirnov::KolmogorovSmirnov;
pub use medians::median_difference;
pub use noise::SeedNoise;
pub use rank_correlation::spearman;

pub use regatta_anynet::edf::Bootstrap;
use regatta_anynet::edf::quantile;
use serde::Serialize;

/// An estimate with the ends of its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The estimate.
    pub estimate: f64,
    /// The interval's lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Interval {
    /// Returns `estimate` with the quantiles of `resampled` that enclose a fraction `level` of them (percentile bootstrap; Efron
    /// and Tibshirani 1993, section 13.3).
    fn of_resamples(estimate: f64, mut resampled: Vec<f64>, level: f64) -> Self {
        resampled.sort_by(f64::total_cmp);
        let end = |rank| quantile(&resampled, rank);
        Self { estimate, low: end((1.0 - level) / 2.0), high: end((1.0 + level) / 2.0) }
    }
}
