//! Measured times of one micro-batch, on one GPU or from an earlier run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use regatta_run_folder::{AttemptRecord, Record, RunFolder, StepRecord, counted, describe, read_records};
use regatta_settings::Recipe;
use serde::Serialize;

use crate::failure::Usage;

/// Seconds of one micro-batch, and of the update that ends a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct MicroBatchTimes {
    /// Waiting for data and host-to-device copies.
    pub(crate) data: f64,
    pub(crate) forward: f64,
    pub(crate) backward: f64,
    /// The update, once per step on every rank.
    pub(crate) optimizer: f64,
}

impl MicroBatchTimes {
    /// Splits the seconds of a whole micro-batch: backward has twice the multiply-adds of forward; the update is included in both.
    pub(crate) fn of_whole(seconds: f64) -> Self {
        Self { data: 0.0, forward: seconds / 3.0, backward: seconds * 2.0 / 3.0, optimizer: 0.0 }
    }

    /// Scales the times to a micro-batch with `share` of the work: of the images, or of their multiply-adds.
    pub(crate) fn of_share(&self, share: f64) -> Self {
        let Self { data, forward, backward, optimizer } = *self;
        Self { data: data * share, forward: forward * share, backward: backward * share, optimizer }
    }

    /// Seconds of one micro-batch, without the update.
    pub(crate) fn micro_batch(&self) -> f64 {
        self.data + self.forward + self.backward
    }
}

/// An earlier run whose metrics contain step times.
#[derive(Debug)]
pub(crate) struct Run {
    path: PathBuf,
    world_size: usize,
    /// The recipe that it trained.
    pub(crate) recipe: Recipe,
    /// Times of a whole step on images of the largest size: medians over the log intervals.
    step: MicroBatchTimes,
}

impl Run {
    /// Reads recipe, number of ranks and metrics of the run in `path`.
    ///
    /// # Errors
    /// If there is no run, a file of it is invalid, or its metrics lack step times.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let at = || format!("--from-run {}", path.display());
        let (folder, attempt) = RunFolder::open(path).context("--from-run")?;
        let record = AttemptRecord::read(&folder.attempt(attempt))?;
        let records =
            read_records(&folder.metrics()).map_err(|error| Usage(describe(&error))).with_context(at)?;
        let recipe = Recipe::read(&folder.config()).with_context(at)?;
        let is_largest = |step: &StepRecord| {
            recipe.data.resolution_px_in(step.epoch.saturating_sub(1)) == recipe.data.resolution_px
        };
        let steps: Vec<_> = records.into_iter().filter_map(Record::step).filter(is_largest).collect();
        let step = median_step(&steps).map_err(Usage).with_context(at)?;
        Ok(Self { path: path.to_owned(), world_size: record.start.world_size, recipe, step })
    }

    /// Returns the times of a micro-batch of `recipe`.
    ///
    /// # Errors
    /// If `recipe` differs from the run in network, resolution or precision.
    pub(crate) fn times_for(&self, recipe: &Recipe) -> Result<MicroBatchTimes> {
        let unlike = |key: &str| {
            Usage(format!("--from-run {}: {key} differs from that in --config", self.path.display()))
        };
        let (own, asked) = (&self.recipe, recipe);
        if own.network() != asked.network() {
            return Err(unlike("the network of [model]").into());
        }
        if own.data.resolution_px != asked.data.resolution_px {
            return Err(unlike("data.resolution_px").into());
        }
        if own.train.precision != asked.train.precision {
            return Err(unlike("train.precision").into());
        }
        let images_of_rank = own.train.global_batch_size as f64 / self.world_size as f64;
        Ok(self.step.of_share(asked.train.micro_batch_size as f64 / images_of_rank))
    }

    /// Describes the source of the times.
    pub(crate) fn source(&self) -> String {
        let ranks = counted(self.world_size, "rank");
        let micro_batch_size = self.recipe.train.micro_batch_size;
        format!("a run of {ranks} in micro-batches of {micro_batch_size}, by images")
    }
}

/// The median of each phase, with forward and backward for all of a rank's images. The first log interval is skipped as warm-up
/// if there are more.
fn median_step(steps: &[StepRecord]) -> Result<MicroBatchTimes, String> {
    let counted = if steps.len() > 1 { &steps[1..] } else { steps };
    if counted.is_empty() {
        return Err(
            "metrics.jsonl has no line of kind step for images of the largest size: expected a run of at \
                    least log.interval_steps with them"
                .to_owned(),
        );
    }
    let median = |phase: fn(&StepRecord) -> f64| {
        let mut values: Vec<f64> = counted.iter().map(phase).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let step = MicroBatchTimes {
        data: median(|step| step.seconds_data) + median(|step| step.seconds_copy),
        forward: median(|step| step.seconds_forward),
        backward: median(|step| step.seconds_backward),
        optimizer: median(|step| step.seconds_optimizer),
    };
    if [step.data, step.forward, step.backward, step.optimizer].iter().any(|seconds| seconds.is_nan()) {
        return Err("metrics.jsonl lacks the times of a step's phases: expected seconds_data, \
                    seconds_copy, seconds_forward, seconds_backward and seconds_optimizer in lines of kind step"
            .to_owned());
    }
    if step.forward <= 0.0 || step.backward <= 0.0 {
        return Err("metrics.jsonl has steps whose forward or backward took no time".to_owned());
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(forward: f64) -> StepRecord {
        let line = r#"{"epoch":1,"step":1,"images":8,"seconds_data":0.1,"seconds_copy":0.1,"seconds_backward":2.0,"seconds_optimizer":0.5}"#;
        StepRecord { seconds_forward: forward, ..serde_json::from_str(line).unwrap() }
    }

    #[test]
    fn the_median_leaves_out_the_first_interval() {
        assert_eq!(median_step(&[9.0, 1.0, 3.0, 1.5].map(step)).unwrap().forward, 1.5);
        assert_eq!(median_step(&[step(9.0)]).unwrap().forward, 9.0);
    }

    #[test]
    fn metrics_without_times_are_rejected() {
        let untimed = StepRecord { seconds_copy: f64::NAN, ..step(1.0) };
        for (steps, expected) in [
            (vec![], "metrics.jsonl has no line of kind step for images of the largest size"),
            (vec![untimed], "metrics.jsonl lacks the times of a step's phases: expected seconds_data"),
            (vec![step(0.0)], "metrics.jsonl has steps whose forward or backward took no time"),
        ] {
            let problem = median_step(&steps).unwrap_err();
            assert!(problem.starts_with(expected), "{problem}");
        }
    }

    #[test]
    fn phases_but_the_update_go_by_images() {
        let times = median_step(&[step(1.0)]).unwrap().of_share(0.5);
        assert_eq!(times, MicroBatchTimes { data: 0.1, forward: 0.5, backward: 1.0, optimizer: 0.5 });
        assert_eq!(MicroBatchTimes::of_whole(3.0).micro_batch(), 3.0);
    }
}
