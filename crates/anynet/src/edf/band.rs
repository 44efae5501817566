//! Confidence band of a distribution function, by the bootstrap.

use serde::Serialize;

use super::{Edf, EdfError};
use crate::random::Purpose;

/// Settings of the bootstrap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Seed of the resamples.
    pub seed: u64,
    /// Number of resamples of the sample, each of the same size, drawn with replacement.
    pub resamples: usize,
    /// Fraction of the resamples between the band's ends at each error.
    pub level: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { seed: 0, resamples: 1_000, level: 0.95 }
    }
}

/// A pointwise confidence band of an [`Edf`] by the percentile bootstrap (Efron and Tibshirani 1993, section 13.3).
///
/// At each single error, a fraction `level` of the resamples lies between the ends; that all of F lies within the band is less
/// likely. Below the smallest and above the largest error of the sample all resamples agree, and the band has no height.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Band {
    /// The distinct errors, ascending, with F and its band just above each.
    pub points: Vec<BandPoint>,
}

/// The band above one error and up to the next, that one included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BandPoint {
    /// The error just above which F increases.
    pub error: f64,
    /// F just above the error.
    pub share: f64,
    /// The band's lower end.
    pub lower: f64,
    /// Its upper end.
    pub upper: f64,
}

impl Bootstrap {
    /// Maximum number of resamples.
    pub const MAX_RESAMPLES: usize = 1_000_000;

    fn validate(&self) -> Result<(), EdfError> {
        let Self { resamples, level, .. } = *self;
        if !(level > 0.0 && level < 1.0) {
            return Err(EdfError::Level { level });
        }
        // Round to the nearest integer, since 1 - 0.9 is not exactly a tenth.
        let least = (2.0 / (1.0 - level)).round_ties_even() as usize;
        if !(least..=Self::MAX_RESAMPLES).contains(&resamples) {
            return Err(EdfError::Resamples { resamples, least, level });
        }
        Ok(())
    }
}

impl Edf {
    /// Computes the confidence band of this distribution function.
    ///
    /// Its ends are the quantiles (1 - level) / 2 and (1 + level) / 2 of F over the resamples, with linear interpolation
    /// (type 7 of Hyndman and Fan 1996, the default of numpy and R).
    ///
    /// # Errors
    /// A level outside (0, 1), more than [`Bootstrap::MAX_RESAMPLES`], or too few resamples for one to lie outside each end.
    pub fn band(&self, bootstrap: Bootstrap) -> Result<Band, EdfError> {
        bootstrap.validate()?;
        let networks = self.errors.len() as f64;
        let steps = self.steps();
        let mut counts = self.resampled_counts(&steps, bootstrap);
        let point = |(&(error, count), counts): (&(f64, usize), &mut Vec<u32>)| {
            counts.sort_unstable();
            let end = |rank: f64| quantile(counts, rank) / networks;
            BandPoint {
                error,
                share: count as f64 / networks,
                lower: end((1.0 - bootstrap.level) / 2.0),
                upper: end((1.0 + bootstrap.level) / 2.0),
            }
        };
        Ok(Band { points: steps.iter().zip(&mut counts).map(point).collect() })
    }

    /// Returns the distinct errors, ascending, each with the number of networks up to and including it.
    fn steps(&self) -> Vec<(f64, usize)> {
        let mut steps: Vec<(f64, usize)> = Vec::new();
        for (index, &error) in self.errors.iter().enumerate() {
            match steps.last_mut() {
                Some((last, count)) if *last == error => *count = index + 1,
                _ => steps.push((error, index + 1)),
            }
        }
        steps
    }

    /// Returns for each step the number of networks up to it in each resample.
    fn resampled_counts(&self, steps: &[(f64, usize)], bootstrap: Bootstrap) -> Vec<Vec<u32>> {
        let mut counts = vec![Vec::with_capacity(bootstrap.resamples); steps.len()];
        for resample in 0..bootstrap.resamples as u64 {
            let mut random = Purpose::Resample.stream(&[bootstrap.seed, resample]);
            let mut times_drawn = vec![0_u32; self.errors.len()];
            for _ in &self.errors {
                times_drawn[random.below(self.errors.len() as u64) as usize] += 1;
            }
            let (mut total, mut start) = (0, 0);
            for (&(_, end), counts) in steps.iter().zip(&mut counts) {
                total += times_drawn[start..end].iter().sum::<u32>();
                counts.push(total);
                start = end;
            }
        }
        counts
    }
}

impl Band {
    /// Returns the lower and the upper end at `error`.
    pub fn at(&self, error: f64) -> (f64, f64) {
        let passed = self.points.partition_point(|point| point.error < error);
        passed.checked_sub(1).map_or((0.0, 0.0), |last| (self.points[last].lower, self.points[last].upper))
    }
}

/// Returns the quantile `rank`, from 0 to 1, of ascending `values`, by linear interpolation (type 7 of Hyndman and Fan 1996).
///
/// # Panics
/// If there are no values.
pub fn quantile<T: Copy + Into<f64>>(values: &[T], rank: f64) -> f64 {
    let position = rank * (values.len() - 1) as f64;
    let (below, above) = (values[position.floor() as usize].into(), values[position.ceil() as usize].into());
    below + position.fract() * (above - below)
}
