//! Which of two spaces is better, and by how much their distribution functions differ.

use serde::Serialize;

use super::Edf;

/// What tells two distribution functions apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The Kolmogorov-Smirnov distance: the largest difference of the two at one error, from 0 to 1.
    pub distance: f64,
    /// The smallest error of a network at which the two functions are that far apart.
    pub at: f64,
    /// Whether one lies above the other.
    pub dominance: Dominance,
}

/// Which function is nowhere below the other and somewhere above it: whatever error is good enough, more of that
/// space's networks reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dominance {
    /// The first, the better space.
    First,
    /// The second.
    Second,
    /// None: they are equal.
    Equal,
    /// None: each is above the other somewhere.
    Crossing,
}

impl Comparison {
    /// Compares the two, `first` being the one that [`Dominance::First`] speaks of.
    pub fn of(first: &Edf, second: &Edf) -> Self {
        let leads = leads(first, second);
        // Of equal distances the first counts.
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

/// How far `first` is above `second` at each error of either, ascending: F1 - F2 times both numbers of networks, which
/// is whole and so compares exactly. Between two errors both functions are constant, and beyond the last they are 1.
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
