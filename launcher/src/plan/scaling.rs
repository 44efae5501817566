//! Predicts the time of a step, an epoch and the whole training on any number of GPUs.

use regatta_anynet::Summary;
use regatta_settings::Recipe;
use serde::Serialize;

use super::all_reduce::AllReduce;
use super::buckets::Bucket;
use super::measured::MicroBatchTimes;

/// Bytes of the control all-reduce after the gradients: two numbers in double precision.
const CONTROL_BYTES: f64 = 16.0;

/// Work and communication of one step.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) micro_batch_size: usize,
    pub(crate) times: MicroBatchTimes,
    pub(crate) buckets: Vec<Bucket>,
    /// Bytes of each all-reduce that follows the buckets.
    pub(crate) trailing_bytes: Vec<f64>,
    /// Whether buckets are all-reduced during backward.
    pub(crate) overlap: bool,
    pub(crate) all_reduce: AllReduce,
}

/// Length of training.
#[derive(Debug, Clone)]
pub(crate) struct Training {
    pub(crate) images: usize,
    pub(crate) global_batch_size: usize,
    pub(crate) steps_of_epoch: u64,
    /// In the order of training.
    pub(crate) spans: Vec<Span>,
    pub(crate) max_steps: Option<u64>,
}

/// Consecutive epochs whose training images have the same size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Span {
    /// Height and width of the images in pixels.
    pub(crate) px: u32,
    pub(crate) epochs: u64,
    /// Multiply-adds of an image, relative to those of the largest images.
    pub(crate) work: f64,
}

/// Prediction for a number of GPUs, for images of the largest size; `total_seconds` is that of all epochs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) gpus: usize,
    /// Micro-batches of the rank that has the most.
    pub(crate) micro_batches_per_rank: usize,
    pub(crate) step_seconds: f64,
    pub(crate) exposed_seconds: f64,
    pub(crate) images_per_second: f64,
    /// Images per second for each of the sizes that training takes in turn.
    pub(crate) images_per_second_by_size: Vec<f64>,
    /// Images per second relative to linear scaling from one GPU.
    pub(crate) efficiency: f64,
    pub(crate) epoch_seconds: f64,
    pub(crate) total_seconds: f64,
}

/// Bytes of the all-reduces after the buckets: BatchNorm statistics and control values.
pub(crate) fn trailing_bytes(summary: &Summary, recipe: &Recipe) -> Vec<f64> {
    let statistics = summary.statistics_elements() * recipe.weight_bytes();
    vec![statistics as f64, CONTROL_BYTES]
}

/// One row for 1, 2, 4, ... GPUs and for all `gpus`.
pub(crate) fn rows(step: &Step, training: &Training, gpus: usize) -> Vec<Row> {
    sizes(gpus).into_iter().map(|gpus| row(step, training, gpus)).collect()
}

fn sizes(gpus: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1), |size| Some(2 * size));
    powers.take_while(|&size| size < gpus).chain([gpus]).collect()
}

fn row(step: &Step, training: &Training, gpus: usize) -> Row {
    let images = training.global_batch_size;
    let (seconds, alone) = (step.seconds(gpus, images), step.seconds(1, images));
    Row {
        gpus,
        micro_batches_per_rank: step.micro_batches_per_rank(gpus, images),
        step_seconds: seconds,
        exposed_seconds: step.exposed(gpus),
        images_per_second: images as f64 / seconds,
        images_per_second_by_size: training
            .spans
            .iter()
            .map(|span| images as f64 / step.of_size(span).seconds(gpus, images))
            .collect(),
        efficiency: alone / seconds / gpus as f64,
        epoch_seconds: training.seconds(step, gpus, training.steps_of_epoch),
        total_seconds: training.total_seconds(step, gpus),
    }
}

impl Step {
    /// The step with images of another size.
    fn of_size(&self, span: &Span) -> Self {
        Self { times: self.times.of_share(span.work), ..self.clone() }
    }

    /// Seconds of a step with a global batch of `images`.
    pub(crate) fn seconds(&self, gpus: usize, images: usize) -> f64 {
        self.compute(gpus, images) + self.exposed(gpus) + self.times.optimizer
    }

    /// Seconds that the rank with the most micro-batches computes.
    pub(crate) fn compute(&self, gpus: usize, images: usize) -> f64 {
        let most = self.micro_batches_per_rank(gpus, images) * self.micro_batch_size;
        images.min(most) as f64 / self.micro_batch_size as f64 * self.times.micro_batch()
    }

    fn micro_batches_per_rank(&self, gpus: usize, images: usize) -> usize {
        images.div_ceil(self.micro_batch_size).div_ceil(gpus)
    }

    /// Seconds of communication after the end of backward. All-reduces run one after the other; each starts when the last
    /// micro-batch's backward has completed its bucket.
    pub(crate) fn exposed(&self, gpus: usize) -> f64 {
        let backward = self.times.backward;
        let start = if self.overlap { 0.0 } else { backward };
        let end = self.buckets.iter().fold(start, |free: f64, bucket| {
            free.max(bucket.ready * backward) + self.all_reduce.seconds(gpus, bucket.bytes)
        });
        let trailing =
            self.trailing_bytes.iter().map(|&bytes| self.all_reduce.seconds(gpus, bytes)).sum::<f64>();
        end.max(backward) - backward + trailing
    }
}

impl Training {
    /// Seconds of the first `steps` steps of an epoch.
    fn seconds(&self, step: &Step, gpus: usize, steps: u64) -> f64 {
        let whole = (self.images / self.global_batch_size) as u64;
        let of_whole = whole.min(steps) as f64 * step.seconds(gpus, self.global_batch_size);
        match steps > whole {
            true => of_whole + step.seconds(gpus, self.images % self.global_batch_size),
            false => of_whole,
        }
    }

    fn total_seconds(&self, step: &Step, gpus: usize) -> f64 {
        let (mut left, mut total) = (self.max_steps.unwrap_or(u64::MAX), 0.0);
        for span in &self.spans {
            let step = step.of_size(span);
            let steps = left.min(span.epochs * self.steps_of_epoch);
            let (whole, rest) = (steps / self.steps_of_epoch, steps % self.steps_of_epoch);
            total += whole as f64 * self.seconds(&step, gpus, self.steps_of_epoch)
                + self.seconds(&step, gpus, rest);
            left -= steps;
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::all_reduce::Links;
    use super::*;

    const TIMES: MicroBatchTimes =
        MicroBatchTimes { data: 0.01, forward: 0.03, backward: 0.06, optimizer: 0.0 };

    fn links(bandwidth: f64, latency_s: f64) -> AllReduce {
        AllReduce::Links(Links {
            gpus: 16,
            gpus_per_node: 4,
            intra_bytes_per_s: bandwidth,
            inter_bytes_per_s: bandwidth / 4.0,
            latency_s,
        })
    }

    fn buckets(count: usize) -> Vec<Bucket> {
        let ready = |index: usize| (index + 1) as f64 / count as f64;
        (0..count).map(|index| Bucket { bytes: 8e6, ready: ready(index) }).collect()
    }

    /// 16 micro-batches of 8 images.
    fn step(count: usize, all_reduce: AllReduce) -> Step {
        Step {
            micro_batch_size: 8,
            times: TIMES,
            buckets: buckets(count),
            trailing_bytes: vec![CONTROL_BYTES],
            overlap: true,
            all_reduce,
        }
    }

    fn training(images: usize) -> Training {
        let steps_of_epoch = images.div_ceil(128) as u64;
        let spans = vec![Span { px: 96, epochs: 3, work: 1.0 }];
        Training { images, global_batch_size: 128, steps_of_epoch, spans, max_steps: None }
    }

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() <= 1e-9 * expected.abs().max(1e-9), "{value} is not {expected}");
    }

    #[test]
    fn without_communication_scaling_is_linear() {
        let rows = rows(&step(4, links(f64::INFINITY, 0.0)), &training(1280), 16);
        assert_eq!(rows.iter().map(|row| row.gpus).collect::<Vec<_>>(), [1, 2, 4, 8, 16]);
        for row in rows {
            close(row.efficiency, 1.0);
            close(row.step_seconds, 1.6 / row.gpus as f64);
            close(row.epoch_seconds, 16.0 / row.gpus as f64);
            close(row.total_seconds, 3.0 * row.epoch_seconds);
        }
    }

    #[test]
    fn one_bucket_is_wholly_exposed() {
        let step = step(1, links(4e9, 1e-3));
        close(
            step.exposed(16),
            step.all_reduce.seconds(16, 8e6) + step.all_reduce.seconds(16, CONTROL_BYTES),
        );
    }

    #[test]
    fn fast_links_leave_the_last_bucket_alone_exposed() {
        let step = step(4, links(400e9, 1e-6));
        close(step.exposed(4), step.all_reduce.seconds(4, 8e6) + step.all_reduce.seconds(4, CONTROL_BYTES));
    }

    #[test]
    fn a_long_latency_exposes_all_sums_but_backward_s_rest() {
        let step = step(4, links(f64::INFINITY, 1e6));
        // From the first bucket, ready after a quarter of backward, one sum follows the other.
        close(step.exposed(16), 5.0 * 1e6 - 0.75 * TIMES.backward);
    }

    #[test]
    fn mpi_exposes_every_sum() {
        let step = Step { overlap: false, ..step(4, links(4e9, 1e-3)) };
        let sums = 4.0 * step.all_reduce.seconds(8, 8e6) + step.all_reduce.seconds(8, CONTROL_BYTES);
        close(step.exposed(8), sums);
        assert_eq!(step.exposed(1), 0.0);
    }

    #[test]
    fn the_rank_with_most_micro_batches_sets_the_pace() {
        let step = step(1, links(f64::INFINITY, 0.0));
        for (gpus, images, micro_batches) in
            [(1, 128, 16.0), (3, 128, 6.0), (12, 128, 2.0), (16, 128, 1.0), (1, 12, 1.5), (2, 12, 1.0)]
        {
            close(step.compute(gpus, images), micro_batches * TIMES.micro_batch());
        }
    }

    #[test]
    fn an_epoch_has_its_last_short_step_and_training_its_most_steps() {
        let step = step(1, links(f64::INFINITY, 0.0));
        let seconds = |training: Training| {
            let row = row(&step, &training, 1);
            (row.epoch_seconds, row.total_seconds)
        };
        // Two whole steps of 1.6 s and one of 64 images.
        let (epoch, total) = seconds(training(320));
        close(epoch, 4.0);
        close(total, 12.0);
        close(seconds(Training { steps_of_epoch: 2, ..training(320) }).0, 3.2);
        close(seconds(Training { max_steps: Some(4), ..training(320) }).1, 5.6);
        close(seconds(Training { max_steps: Some(99), ..training(320) }).1, 12.0);
    }

    /// One epoch of a quarter of the work, one of half and two of all.
    #[test]
    fn small_images_take_their_share_of_the_work() {
        let step = step(1, links(f64::INFINITY, 0.0));
        let span = |(px, epochs, work)| Span { px, epochs, work };
        let spans: Vec<_> = [(112, 1, 0.25), (160, 1, 0.5), (224, 2, 1.0)].map(span).into();
        let seconds = |max_steps| {
            let training = Training { spans: spans.clone(), max_steps, ..training(320) };
            let row = row(&step, &training, 1);
            close(row.epoch_seconds, 4.0);
            row.total_seconds
        };
        close(seconds(None), 1.0 + 2.0 + 2.0 * 4.0);
        // The second epoch's first two steps, of 1.6 s at full work.
        close(seconds(Some(5)), 1.0 + 0.5 * 2.0 * 1.6);
        close(seconds(Some(7)), 1.0 + 2.0 + 1.6);
    }

    proptest! {
        #[test]
        fn efficiency_is_at_most_one_and_bandwidth_never_hurts(
            micro_batch_size in 1usize..40,
            gpus in 1usize..16,
            count in 1usize..9,
            overlap: bool,
            optimizer in 0.0..0.1,
            latency in 0.0..0.01,
            bandwidth in 1e6..1e12,
        ) {
            let times = MicroBatchTimes { optimizer, ..TIMES };
            let with = |bandwidth| {
                let step = Step { micro_batch_size, times, overlap, ..step(count, links(bandwidth, latency)) };
                rows(&step, &training(1000), gpus)
            };
            for (slow, fast) in with(bandwidth).iter().zip(with(2.0 * bandwidth)) {
                prop_assert!(slow.efficiency <= 1.0 + 1e-12 && fast.efficiency <= 1.0 + 1e-12);
                prop_assert!(fast.total_seconds <= slow.total_seconds * (1.0 + 1e-12));
                prop_assert!(fast.step_seconds <= slow.step_seconds * (1.0 + 1e-12));
            }
        }
    }
}
