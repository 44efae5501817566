//! The empirical distribution function of a sample's errors, used to compare design spaces (Radosavovic et al. 2020,
//! section 3.1).

use serde::Serialize;

mod band;

mod comparison;

pub use band::{Band, BandPoint, Bootstrap, quantile};
pub use comparison::{Comparison, Dominance};

/// An empirical distribution function: F(e) is the fraction of networks with an error *below* e, 1/n times the number of i
/// with e_i < e (the paper's equation 1).
///
/// F increases just above each error, so that it is 0 at the smallest and 1 beyond the largest. The unit of the errors is the
/// caller's; the earlier F increases, the better the space.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Edf {
    /// The errors, ascending.
    errors: Vec<f64>,
}

/// An error of a distribution function or a confidence band.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EdfError {
    /// No errors were given.
    #[error("errors is empty, must hold the error of at least one network")]
    Empty,

    /// An error that is not finite.
    #[error(
        "errors[{index}] is {value}, must be a finite number (a network that learned nothing has an error, too)"
    )]
    NotFinite {
        /// Its index.
        index: usize,
        /// NaN or an infinity.
        value: f64,
    },

    /// A confidence level outside (0, 1).
    #[error("level is {level:?}, must be above 0 and below 1, such as 0.95")]
    Level {
        /// The level.
        level: f64,
    },

    /// Too few resamples to distinguish the band's ends from the extremes, or too many.
    #[error(
        "resamples is {resamples}, must be from {least} to {} at level {level:?}",
        Bootstrap::MAX_RESAMPLES
    )]
    Resamples {
        /// The number requested.
        resamples: usize,
        /// The minimum, with which one resample lies outside each end.
        least: usize,
        /// The level.
        level: f64,
    },
}

impl Edf {
    /// Builds the distribution function of `errors`, one per network, in any order.
    ///
    /// # Errors
    /// If there are none, or one is not finite.
    pub fn new(mut errors: Vec<f64>) -> Result<Self, EdfError> {
        if errors.is_empty() {
            return Err(EdfError::Empty);
        }
        if let Some(index) = errors.iter().position(|error| !error.is_finite()) {
            return Err(EdfError::NotFinite { index, value: errors[index] });
        }
        errors.sort_by(f64::total_cmp);
        Ok(Self { errors })
    }

    /// Returns F(`error`), the fraction of networks whose error is below `error`.
    pub fn at(&self, error: f64) -> f64 {
        self.count_below(error) as f64 / self.errors.len() as f64
    }

    /// Returns the errors, ascending.
    pub fn errors(&self) -> &[f64] {
        &self.errors
    }

    /// Returns the smallest error.
    pub fn min(&self) -> f64 {
        self.errors[0]
    }

    /// Returns the median error; for an even number of networks, the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        let (below, above) = (self.errors[(self.errors.len() - 1) / 2], self.errors[self.errors.len() / 2]);
        below / 2.0 + above / 2.0
    }

    /// Returns the mean error, summed in ascending order, so that it does not depend on the order of the input.
    pub fn mean(&self) -> f64 {
        self.errors.iter().sum::<f64>() / self.errors.len() as f64
    }

    fn count_below(&self, error: f64) -> usize {
        self.errors.partition_point(|other| *other < error)
    }
}
