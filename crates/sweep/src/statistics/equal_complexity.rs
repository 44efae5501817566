//! Comparison of spaces at equal complexity.

/// Weights that give several samples of networks the same distribution of complexity.
#[derive(Clone, Debug, PartialEq)]
pub struct EqualComplexity {
    /// For each sample the weight of each network; they sum to 1, or are all 0 if no bin has networks of every sample.
    pub weights: Vec<Vec<f64>>,
    /// Numbers of the bins that were left out, since some sample has no network in them.
    pub dropped: Vec<usize>,
}

/// Weights networks such that each sample in `groups`, of complexities (or their logarithms), is spread evenly over bins of equal
/// width over the range of all: of k bins, each network of a bin with m networks has the weight 1 / (k m) (Radosavovic et al.
/// 2019, "On Network Design Spaces for Visual Recognition", section 3.3). Bins in which a sample has no network are left out for
/// all samples.
///
/// Without it, a space that happens to have larger networks would seem better.
///
/// # Panics
/// If there are no bins.
pub fn equal_complexity_weights(groups: &[&[f64]], bins: usize) -> EqualComplexity {
    assert!(bins > 0, "at least one bin");
    let all = || groups.iter().copied().flatten().copied();
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let bin = |value: f64| match high > low {
        true => (((value - low) / (high - low) * bins as f64) as usize).min(bins - 1),
        false => 0,
    };
    let counts: Vec<Vec<usize>> =
        groups.iter().map(|group| counts(group.iter().map(|&it| bin(it)), bins)).collect();
    let is_kept = |bin: usize| counts.iter().all(|counts| counts[bin] > 0);
    let kept = (0..bins).filter(|&bin| is_kept(bin)).count();
    let weight = |counts: &[usize], bin: usize| match is_kept(bin) {
        true => 1.0 / (kept * counts[bin]) as f64,
        false => 0.0,
    };
    let weights = groups.iter().zip(&counts);
    EqualComplexity {
        weights: weights
            .map(|(group, counts)| group.iter().map(|&it| weight(counts, bin(it))).collect())
            .collect(),
        dropped: (0..bins).filter(|&bin| !is_kept(bin)).collect(),
    }
}

fn counts(numbers: impl Iterator<Item = usize>, bins: usize) -> Vec<usize> {
    let mut counts = vec![0; bins];
    numbers.for_each(|bin| counts[bin] += 1);
    counts
}

/// A distribution function of errors with weights: F(e) is the weight of the networks with an error below e, of 1 in total.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedEdf {
    /// The distinct errors with a weight, ascending, each with F just above it.
    steps: Vec<(f64, f64)>,
    mean: f64,
}

impl WeightedEdf {
    /// Builds the distribution function of errors with their weights, which need not sum to 1. Errors of weight 0 have no step.
    ///
    /// # Panics
    /// If there are not as many weights as errors.
    pub fn new(errors: &[f64], weights: &[f64]) -> Self {
        assert_eq!(errors.len(), weights.len(), "a weight for each error");
        let mut pairs: Vec<(f64, f64)> =
            errors.iter().copied().zip(weights.iter().copied()).filter(|(_, weight)| *weight > 0.0).collect();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let total: f64 = pairs.iter().map(|(_, weight)| weight).sum();
        let mean = pairs.iter().map(|(error, weight)| error * weight).sum::<f64>() / total;
        let mut steps: Vec<(f64, f64)> = Vec::new();
        let mut below = 0.0;
        for (error, weight) in pairs {
            below += weight;
            match steps.last_mut() {
                Some((last, share)) if *last == error => *share = below / total,
                _ => steps.push((error, below / total)),
            }
        }
        Self { steps, mean }
    }

    /// Returns the distinct errors, ascending, each with F just above it.
    pub fn steps(&self) -> Vec<(f64, f64)> {
        self.steps.clone()
    }

    /// Returns the weighted mean; NaN without weights.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Returns the weighted median: the smallest error at or below which more than half of the weight lies, and the mean of it and
    /// the one before if exactly half of the weight lies below. NaN without weights.
    pub fn median(&self) -> f64 {
        // Half of an even number of equal weights may be a rounding from a half.
        let half = |share: f64| (share - 0.5).abs() < 1e-12;
        match self.steps.iter().position(|&(_, share)| share > 0.5 || half(share)) {
            Some(at) if half(self.steps[at].1) && at + 1 < self.steps.len() => {
                self.steps[at].0 / 2.0 + self.steps[at + 1].0 / 2.0
            }
            Some(at) => self.steps[at].0,
            None => f64::NAN,
        }
    }
}
