//! The largest number of GPUs that is worth using, and what limits scaling.

use std::fmt;

use regatta_run_folder::counted;
use serde::Serialize;

use super::scaling::{Row, Step};

/// Smallest share of the linear speed-up that makes additional GPUs worth it.
const LEAST_GAIN: f64 = 0.5;

/// Where scaling ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Scaling {
    /// The largest number of ranks in the table that is worth it.
    pub(crate) scales_to: usize,
    /// Why the next larger one is not worth it.
    pub(crate) limit: Limit,
}

/// What limits scaling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    /// All-reduces that do not overlap with backward.
    Communication,
    /// A global batch has too few micro-batches, or they do not divide.
    MicroBatches,
    /// The update, which every rank computes in full.
    Optimizer,
    /// Nothing within the cluster.
    None,
}

/// Judges `rows` for global batches of `images`.
pub(crate) fn of(step: &Step, rows: &[Row], images: usize) -> Scaling {
    let is_worth_it = |pair: &[Row]| {
        let gpus = pair[1].gpus as f64 / pair[0].gpus as f64 - 1.0;
        pair[1].images_per_second / pair[0].images_per_second - 1.0 >= LEAST_GAIN * gpus
    };
    if let Some(pair) = rows.windows(2).find(|pair| !is_worth_it(pair)) {
        return Scaling { scales_to: pair[0].gpus, limit: largest_loss(step, pair[1].gpus, images) };
    }
    let last = rows[rows.len() - 1].gpus;
    let has_one_each = images.div_ceil(step.micro_batch_size) == last;
    Scaling { scales_to: last, limit: if has_one_each { Limit::MicroBatches } else { Limit::None } }
}

/// The largest loss relative to linear scaling.
fn largest_loss(step: &Step, gpus: usize, images: usize) -> Limit {
    let fair = step.compute(1, images) / gpus as f64;
    let losses = [
        (step.exposed(gpus), Limit::Communication),
        (step.compute(gpus, images) - fair, Limit::MicroBatches),
        (step.times.optimizer * (1.0 - 1.0 / gpus as f64), Limit::Optimizer),
    ];
    losses.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).map_or(Limit::None, |(_, limit)| limit)
}

impl fmt::Display for Scaling {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.limit {
            Limit::Communication => {
                "beyond that, all-reduces that do not overlap with backward cost more than half of what added ranks contribute"
            }
            Limit::MicroBatches => {
                "beyond that, there are too few micro-batches: lower train.micro_batch_size or raise train.global_batch_size"
            }
            Limit::Optimizer => {
                "beyond that, the update, which every rank computes in full, costs more than half of what added ranks contribute"
            }
            Limit::None => "the whole cluster",
        };
        write!(formatter, "scales to {}: {why}", counted(self.scales_to, "rank"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::all_reduce::{AllReduce, Links};
    use super::super::buckets::Bucket;
    use super::super::measured::MicroBatchTimes;
    use super::super::scaling::{Span, Training, rows};
    use super::*;

    /// Of `micro_batches`, each of one image and 10 ms, over links that take `latency_s` at all 16 GPUs.
    fn verdict(micro_batches: usize, gpus: usize, latency_s: f64, optimizer: f64) -> (usize, Limit) {
        let (intra_bytes_per_s, inter_bytes_per_s) = (f64::INFINITY, f64::INFINITY);
        let links = Links { gpus: 16, gpus_per_node: 16, intra_bytes_per_s, inter_bytes_per_s, latency_s };
        let step = Step {
            micro_batch_size: 1,
            times: MicroBatchTimes { data: 0.0, forward: 0.004, backward: 0.006, optimizer },
            buckets: vec![Bucket { bytes: 4.0, ready: 1.0 }],
            trailing_bytes: Vec::new(),
            overlap: true,
            all_reduce: AllReduce::Links(links),
        };
        let training = Training {
            images: 1000,
            global_batch_size: micro_batches,
            steps_of_epoch: 1000_usize.div_ceil(micro_batches) as u64,
            spans: vec![Span { px: 96, epochs: 1, work: 1.0 }],
            max_steps: None,
        };
        let Scaling { scales_to, limit } = of(&step, &rows(&step, &training, gpus), micro_batches);
        (scales_to, limit)
    }

    #[test]
    fn the_limit_of_scaling_is_named() {
        assert_eq!(verdict(64, 16, 0.0, 0.0), (16, Limit::None));
        assert_eq!(verdict(16, 16, 0.0, 0.0), (16, Limit::MicroBatches));
        // 2 micro-batches a rank at 8 as at 12.
        assert_eq!(verdict(16, 12, 0.0, 0.0), (8, Limit::MicroBatches));
        assert_eq!(verdict(16, 16, 0.02, 0.0), (4, Limit::Communication));
        assert_eq!(verdict(16, 16, 0.0, 0.025), (4, Limit::Optimizer));
        assert_eq!(verdict(16, 1, 0.0, 0.0), (1, Limit::None));
    }
}
