//! Comparison of two design spaces by their distribution functions.

use serde::Serialize;

use super::Edf;

/// Result of comparing two distribution functions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The Kolmogorov-Smirnov distance: the largest difference of the two functions at one error, from 0 to 1.
    pub distance: f64,
    /// The smallest error of a network at which the difference has that size.
    pub at: f64,
    /// Whether one function lies above the other.
    pub dominance: Dominance,
}

/// The function that is nowhere below the other and somewhere above it: below every threshold of the error
/// lies at least as large a fraction of that space's networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dominance {
    /// The first, the better space.
    First,
    /// The second.
    Second,
    /// None: they are equal.
    Equal,
    /// None: each function is above the other somewhere.
    Crossing,
}

impl Comparison {
    /// Compares two functions; `first` is that of [`Dominance::First`].
    pub fn of(first: &Edf, second: &Edf) -> Self {
        let leads = leads(first, second);
        // Of equal distances, take the first.
        let furthest = |best: (f64, i128), lead: &(f64, i128)| {
            if lead.1.abs() > best.1.abs() { *lead } else { best }
        };
        let (at, lead) = leads[1..].iter().fold(leads[0], furthest);
        let is_ahead = leads.iter().any(|(_, lead)| *lead > 0);
        let is_behind = leads.iter().any(|(_, lead)| *lead < 0);
        let pairs = first.errors.len() as f64 * second.errors.len() as f64;
        Self { distance: lead.abs() as f64 / pairs, at, dominance: Dominance::of(is_ahead, is_behind) }
    }
}

impl Dominance {
    fn of(is_ahead: bool, is_behind: bool) -> Self {
        match (is_ahead, is_behind) {
            (true, false) => Dominance::First,
            (false, true) => Dominance::Second,
            (false, false) => Dominance::Equal,
            (true, true) => Dominance::Crossing,
        }
    }
}

/// Returns how far `first` is above `second` at each error of either, ascending: F1 - F2 times both numbers of networks, an
/// integer and therefore compared exactly. Between two errors both functions are constant, and beyond the last they are 1.
fn leads(first: &Edf, second: &Edf) -> Vec<(f64, i128)> {
    let (networks1, networks2) = (first.errors.len() as i128, second.errors.len() as i128);
    let (mut below1, mut below2) = (0, 0);
    let mut leads = Vec::with_capacity(first.errors.len() + second.errors.len());
    while let Some(error) = smaller(first.errors.get(below1), second.errors.get(below2)) {
        leads.push((error, below1 as i128 * networks2 - below2 as i128 * networks1));
        below1 += first.errors[below1..].iter().take_while(|other| **other == error).count();
        below2 += second.errors[below2..].iter().take_while(|other| **other == error).count();
    }
    leads
}

fn smaller(first: Option<&f64>, second: Option<&f64>) -> Option<f64> {
    first.into_iter().chain(second).copied().reduce(f64::min)
}
