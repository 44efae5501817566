//! The two-sample Kolmogorov-Smirnov test.

use regatta_anynet::edf::{Comparison, Edf};
use serde::Serialize;

/// The two-sided Kolmogorov-Smirnov test of two samples.
///
/// It says how unusual the largest difference between two distribution functions would be if both samples came from one
/// distribution. It does not say which space is better, and a large p-value does not say that the spaces are equal: samples of 24
/// only tell apart distributions that differ by about 0.4 somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct KolmogorovSmirnov {
    /// Largest difference of the two distribution functions, 0 to 1; 0 for an empty sample.
    pub distance: f64,
    /// Probability of a distance at least as large if both samples came from one continuous distribution; with ties it is too
    /// large rather than too small.
    pub p_value: f64,
}

impl KolmogorovSmirnov {
    /// Tests two samples of finite numbers. The p-value is exact, by counting lattice paths (Hodges 1958, "The significance
    /// probability of the Smirnov two-sample test"), and takes time in proportion to the product of the samples' sizes.
    pub fn of(first: &[f64], second: &[f64]) -> Self {
        let (Ok(one), Ok(other)) = (Edf::new(first.to_vec()), Edf::new(second.to_vec())) else {
            return Self { distance: 0.0, p_value: 1.0 };
        };
        let distance = Comparison::of(&one, &other).distance;
        // The difference times both sizes is an integer.
        let lead = (distance * first.len() as f64 * second.len() as f64).round_ties_even() as u64;
        Self { distance, p_value: p_value(lead, first.len(), second.len()) }
    }
}

/// Returns the fraction of all orders of two samples of these sizes whose largest lead is at least `lead`.
fn p_value(lead: u64, size1: usize, size2: usize) -> f64 {
    if lead == 0 {
        return 1.0;
    }
    // Of the orders of i and j values, the fraction that reached the lead: the last value is of the first sample in i of i + j of
    // them. The others are not counted, since 1 minus their fraction would have no precision for small probabilities.
    let is_inside =
        |i: usize, j: usize| (i as i64 * size2 as i64 - j as i64 * size1 as i64).unsigned_abs() < lead;
    let mut outside = vec![0.0; size2 + 1];
    for i in 0..=size1 {
        for j in 0..=size2 {
            outside[j] = match (i, j) {
                _ if !is_inside(i, j) => 1.0,
                (0, 0) => 0.0,
                (0, _) => outside[j - 1],
                (_, 0) => outside[0],
                _ => (i as f64 * outside[j] + j as f64 * outside[j - 1]) / (i + j) as f64,
            };
        }
    }
    outside[size2]
}
