//! Duration of an all-reduce: from the speed of links, or from measurements.

/// Source of the durations.
#[derive(Debug, Clone)]
pub(crate) enum AllReduce {
    /// A model of latency and bandwidth.
    Links(Links),
    /// Measurements, at least one curve.
    Measured(Vec<Curve>),
}

/// Size and links of a cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Links {
    /// Number of GPUs in the cluster.
    pub(crate) gpus: usize,
    /// Number of GPUs in a node.
    pub(crate) gpus_per_node: usize,
    /// Bus bandwidth within a node.
    pub(crate) intra_bytes_per_s: f64,
    /// Bus bandwidth between nodes.
    pub(crate) inter_bytes_per_s: f64,
    /// Duration of an all-reduce of a few bytes over the whole cluster.
    pub(crate) latency_s: f64,
}

/// Measured all-reduces of several sizes on a fixed number of ranks.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    /// At least 2.
    pub(crate) ranks: usize,
    /// Bytes and seconds, by ascending bytes; at least one.
    pub(crate) points: Vec<(f64, f64)>,
}

impl AllReduce {
    /// Seconds of an all-reduce of `bytes` over `gpus` ranks; 0 for one rank.
    pub(crate) fn seconds(&self, gpus: usize, bytes: f64) -> f64 {
        if gpus == 1 {
            return 0.0;
        }
        match self {
            Self::Links(links) => links.seconds(gpus, bytes),
            Self::Measured(curves) => nearest(curves, gpus).seconds(gpus, bytes),
        }
    }
}

/// The curve with the fewest ranks of those with at least `gpus`, or else the one with the most ranks.
fn nearest(curves: &[Curve], gpus: usize) -> &Curve {
    let enough = curves.iter().filter(|curve| curve.ranks >= gpus).min_by_key(|curve| curve.ranks);
    let most = || curves.iter().max_by_key(|curve| curve.ranks).expect("at least one curve");
    enough.unwrap_or_else(most)
}

/// Bytes that a rank of a ring all-reduce sends, relative to the size of the buffer.
fn ring_traffic(gpus: usize) -> f64 {
    2.0 * (gpus - 1) as f64 / gpus as f64
}

/// Number of rounds of a tree over `gpus` ranks.
fn rounds(gpus: usize) -> f64 {
    f64::from(gpus.next_power_of_two().ilog2())
}

impl Links {
    fn seconds(&self, gpus: usize, bytes: f64) -> f64 {
        let slowest = match gpus <= self.gpus_per_node {
            true => self.intra_bytes_per_s,
            false => self.intra_bytes_per_s.min(self.inter_bytes_per_s),
        };
        self.latency_s * rounds(gpus) / rounds(self.gpus) + ring_traffic(gpus) * bytes / slowest
    }
}

impl Curve {
    /// Scales to another number of ranks: the duration of the smallest all-reduce with the rounds of a tree, the additional time
    /// of larger ones with the bytes that a ring sends.
    fn seconds(&self, gpus: usize, bytes: f64) -> f64 {
        let smallest = self.points[0].1;
        let beyond = self.interpolated(bytes) - smallest;
        smallest * rounds(gpus) / rounds(self.ranks) + beyond * ring_traffic(gpus) / ring_traffic(self.ranks)
    }

    /// Interpolates linearly, extrapolates from the last two points, and is constant below the first.
    fn interpolated(&self, bytes: f64) -> f64 {
        let [first, .., last] = self.points[..] else { return self.points[0].1 };
        if bytes <= first.0 {
            return first.1;
        }
        let ends = self.points.windows(2).find(|ends| bytes <= ends[1].0);
        let ends = ends.unwrap_or(&self.points[self.points.len() - 2..]);
        let slope = (ends[1].1 - ends[0].1) / (ends[1].0 - ends[0].0);
        match bytes <= last.0 {
            true => ends[0].1 + slope * (bytes - ends[0].0),
            // A noisy measurement must not make a larger all-reduce faster than a smaller one.
            false => last.1 + slope.max(0.0) * (bytes - last.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{value} is not {expected}");
    }

    #[test]
    fn links_are_the_ring_s_bytes_over_the_slowest_and_a_tree_s_latency() {
        let links = Links {
            gpus: 16,
            gpus_per_node: 8,
            intra_bytes_per_s: 100e9,
            inter_bytes_per_s: 10e9,
            latency_s: 40e-6,
        };
        let all_reduce = AllReduce::Links(links);
        for (gpus, bytes, expected) in [
            (1, 1e9, 0.0),
            (2, 0.0, 10e-6),
            (8, 1e9, 30e-6 + 1.75 * 0.01),
            (9, 0.0, 40e-6),
            (16, 1e9, 40e-6 + 1.875 * 0.1),
        ] {
            close(all_reduce.seconds(gpus, bytes), expected);
        }
    }

    #[test]
    fn measured_sums_are_interpolated_and_carried_to_other_worlds() {
        let curve = Curve { ranks: 4, points: vec![(1e3, 10e-6), (1e6, 1e-3), (3e6, 2e-3)] };
        let all_reduce = AllReduce::Measured(vec![curve]);
        for (gpus, bytes, expected) in [
            (4, 10.0, 10e-6),
            (4, 1e6, 1e-3),
            (4, 2e6, 1.5e-3),
            (4, 5e6, 3e-3),
            (2, 1e6, 5e-6 + 990e-6 / 1.5),
            (16, 1e6, 20e-6 + 990e-6 * 1.875 / 1.5),
        ] {
            close(all_reduce.seconds(gpus, bytes), expected);
        }
    }

    #[test]
    fn the_curve_of_the_fewest_ranks_that_are_enough_is_taken() {
        let curve = |ranks| Curve { ranks, points: vec![(1.0, ranks as f64)] };
        let curves = [curve(8), curve(2), curve(4)];
        let taken = [2, 3, 4, 5, 8, 9].map(|gpus| nearest(&curves, gpus).ranks);
        assert_eq!(taken, [2, 4, 4, 8, 8, 8]);
    }
}
