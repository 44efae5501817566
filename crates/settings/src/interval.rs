//! The intervals of numbers that keys accept, with their descriptions for error messages.

use crate::error::RecipeError;
use crate::place::Places;

/// The result of a check.
pub(crate) type Checked = Result<(), RecipeError>;

/// An interval of numbers.
pub(crate) struct Interval {
    pub(crate) contains: fn(f64) -> bool,
    /// The interval in words.
    pub(crate) words: &'static str,
}

/// [0, 1).
pub(crate) const BELOW_ONE: Interval =
    Interval { contains: |number| (0.0..1.0).contains(&number), words: "a number, at least 0 and below 1" };
/// [0, 1].
pub(crate) const FRACTION: Interval =
    Interval { contains: |number| (0.0..=1.0).contains(&number), words: "a number from 0 to 1" };
/// [0, infinity).
pub(crate) const AT_LEAST_ZERO: Interval =
    Interval { contains: |number| number >= 0.0, words: "a number, at least 0" };
/// [1, infinity).
pub(crate) const AT_LEAST_ONE: Interval =
    Interval { contains: |number| number >= 1.0, words: "a number, at least 1" };
/// (0, infinity).
pub(crate) const ABOVE_ZERO: Interval =
    Interval { contains: |number| number > 0.0, words: "a number above 0" };

impl Places {
    /// Rejects the value `number` of `key` unless it lies in `interval`.
    pub(crate) fn require_in(&self, interval: &Interval, key: &str, number: f64) -> Checked {
        self.require((interval.contains)(number), key, number, interval.words)
    }
}
