//! The noise between training seeds.

use serde::Serialize;

/// How much the error of a network varies with its training seed, beside how much it varies between networks.
///
/// A difference between two single networks that is not much larger than `within` says little.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SeedNoise {
    /// Number of networks that were trained with several seeds.
    pub networks: usize,
    /// Standard deviation between seeds of one network, pooled over networks.
    pub within: f64,
    /// Standard deviation between networks, without the part that seeds cause; 0 if seeds cause all of it.
    pub between: f64,
}

impl SeedNoise {
    /// Estimates both from `groups`, for each network the errors of its seeds; networks with one seed are left out. None for fewer
    /// than two others.
    ///
    /// One-way analysis of variance with random effects; groups may have different sizes (Searle, Casella and McCulloch 1992,
    /// "Variance Components", section 3.6).
    pub fn of(groups: &[Vec<f64>]) -> Option<Self> {
        let groups: Vec<&Vec<f64>> = groups.iter().filter(|group| group.len() > 1).collect();
        if groups.len() < 2 {
            return None;
        }
        let sizes = || groups.iter().map(|group| group.len() as f64);
        let (all, networks): (f64, f64) = (sizes().sum(), groups.len() as f64);
        let grand_mean = groups.iter().copied().flatten().sum::<f64>() / all;
        let mean = |group: &[f64]| group.iter().sum::<f64>() / group.len() as f64;
        let squares = |group: &[f64]| group.iter().map(|it| (it - mean(group)).powi(2)).sum::<f64>();
        let within = groups.iter().map(|group| squares(group)).sum::<f64>() / (all - networks);
        let between =
            groups.iter().map(|group| group.len() as f64 * (mean(group) - grand_mean).powi(2)).sum::<f64>()
                / (networks - 1.0);
        let size = (all - sizes().map(|size| size * size).sum::<f64>() / all) / (networks - 1.0);
        Some(Self {
            networks: groups.len(),
            within: within.sqrt(),
            between: ((between - within) / size).max(0.0).sqrt(),
        })
    }
}
