//! The empirical distribution function of a sample's errors, by which design spaces are compared (Radosavovic et al.
//! 2020, section 3.1).

use serde::Serialize;

mod band;

mod comparison;

pub use band::{Band, BandPoint, Bootstrap};
pub use comparison::{Comparison, Dominance};

/// F(e) = the share of networks with an error *below* e, 1/n times the number of i with e_i < e (the paper's
/// equation 1).
///
/// F rises behind each error, so that it is 0 at the smallest and 1 beyond the largest. The unit of the errors is the
/// caller's; a space is better the sooner its F rises.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Edf {
    /// Ascending.
    errors: Vec<f64>,
}

/// Why there is no distribution or no band.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EdfError {
    /// No network.
    #[error("errors is empty, must hold the error of at least one network")]
    Empty,

    /// An error that is no number.
    #[error(
        "errors[{index}] is {value}, must be a finite number (a network that learned nothing has an error, too)"
    )]
    NotFinite {
        /// Where it stands.
        index: usize,
        /// NaN or an infinity.
        value: f64,
    },

    /// A band of no or every network.
    #[error("level is {level:?}, must be above 0 and below 1, such as 0.95")]
    Level {
        /// What the level is.
        level: f64,
    },

    /// Too few resamples to tell the band's ends from the extremes.
    #[error(
        "resamples is {resamples}, must be from {least} to {} at level {level:?}",
        Bootstrap::MAX_RESAMPLES
    )]
    Resamples {
        /// How many were asked for.
        resamples: usize,
        /// The fewest of which one lies outside each end.
        least: usize,
        /// The level.
        level: f64,
    },
}

impl Edf {
    /// The distribution of `errors`, one a network, in any order.
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

    /// F(`error`), the share of networks whose error is below `error`.
    pub fn at(&self, error: f64) -> f64 {
        self.count_below(error) as f64 / self.errors.len() as f64
    }

    /// The errors, ascending.
    pub fn errors(&self) -> &[f64] {
        &self.errors
    }

    /// The best network's error.
    pub fn min(&self) -> f64 {
        self.errors[0]
    }

    /// The middle error; the mean of the two in the middle where there are two.
    pub fn median(&self) -> f64 {
        let (below, above) = (self.errors[(self.errors.len() - 1) / 2], self.errors[self.errors.len() / 2]);
        below / 2.0 + above / 2.0
    }

    /// The mean error, summed in ascending order, so that it does not depend on the order in which networks finished.
    pub fn mean(&self) -> f64 {
        self.errors.iter().sum::<f64>() / self.errors.len() as f64
    }

    fn count_below(&self, error: f64) -> usize {
        self.errors.partition_point(|other| *other < error)
    }
}
