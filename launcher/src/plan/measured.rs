//! What was measured of one micro-batch, on one GPU or in an earlier run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use regatta_run_folder::{Attempt, AttemptRecord, RunFolder, counted};
use regatta_settings::Recipe;
use serde::{Deserialize, Serialize};

use crate::failure::Usage;

/// Seconds of one micro-batch, and of the update that ends a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct MicroBatchTimes {
    /// Data and copies that the step waited for.
    pub(crate) data: f64,
    pub(crate) forward: f64,
    pub(crate) backward: f64,
    /// Once a step, on every rank.
    pub(crate) optimizer: f64,
}

impl MicroBatchTimes {
    /// Of a whole micro-batch's seconds: backward has twice forward's multiply-adds, the update is counted with each.
    pub(crate) fn of_whole(seconds: f64) -> Self {
        Self { data: 0.0, forward: seconds / 3.0, backward: seconds * 2.0 / 3.0, optimizer: 0.0 }
    }

    /// Of one micro-batch, without the update.
    pub(crate) fn micro_batch(&self) -> f64 {
        self.data + self.forward + self.backward
    }
}

/// An earlier run whose metrics have the time of a step.
#[derive(Debug)]
pub(crate) struct Run {
    path: PathBuf,
    world_size: usize,
    /// What it trained.
    pub(crate) recipe: Recipe,
    /// Seconds of a step by phase: the median over its log intervals.
    step: StepSeconds,
}

/// The phases in a line of kind `step` of metrics.jsonl.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
struct StepSeconds {
    seconds_data: f64,
    seconds_copy: f64,
    seconds_forward: f64,
    seconds_backward: f64,
    seconds_optimizer: f64,
}

impl Run {
    /// Reads recipe, number of ranks and metrics of the run in `path`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let folder = RunFolder::new(path, "");
        let at = || format!("--from-run {}", path.display());
        let attempt = if folder.attempts().is_dir() { Attempt::newest(&folder)? } else { None };
        let attempt =
            attempt.ok_or_else(|| Usage("no run is there: expected a folder with attempts/".to_owned()));
        let record = AttemptRecord::read(&folder.attempt(attempt.with_context(at)?))?;
        let metrics = fs::read_to_string(folder.metrics())
            .map_err(|error| Usage(format!("metrics.jsonl cannot be read: {error}")));
        let step = median_step(&metrics.with_context(at)?).map_err(Usage).with_context(at)?;
        let recipe = Recipe::read(&folder.config()).with_context(at)?;
        Ok(Self { path: path.to_owned(), world_size: record.start.world_size, recipe, step })
    }

    /// What a micro-batch of `recipe` takes, which must be of the same network, images and precision.
    pub(crate) fn times_for(&self, recipe: &Recipe) -> Result<MicroBatchTimes> {
        let unlike = |key: &str| {
            Usage(format!("--from-run {}: {key} is another there than in --config", self.path.display()))
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
        Ok(self.step.of_micro_batch(asked.train.micro_batch_size as f64 / images_of_rank))
    }

    /// Where the times come from, in words.
    pub(crate) fn source(&self) -> String {
        let ranks = counted(self.world_size, "rank");
        let micro_batch_size = self.recipe.train.micro_batch_size;
        format!("a run of {ranks} in micro-batches of {micro_batch_size}, by images")
    }
}

impl StepSeconds {
    /// Of a micro-batch that has `share` of the images that a rank of the run had in a step.
    fn of_micro_batch(&self, share: f64) -> MicroBatchTimes {
        MicroBatchTimes {
            data: (self.seconds_data + self.seconds_copy) * share,
            forward: self.seconds_forward * share,
            backward: self.seconds_backward * share,
            optimizer: self.seconds_optimizer,
        }
    }
}

/// The median of each phase over the lines of kind `step`, the first of which warms up and does not count if there are more.
fn median_step(metrics: &str) -> Result<StepSeconds, String> {
    // A crash may have torn the last line.
    let whole = metrics.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let objects = whole.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let steps: Result<Vec<StepSeconds>, _> =
        objects.filter(|object| object["kind"] == "step").map(serde_json::from_value).collect();
    let steps =
        steps.map_err(|error| format!("metrics.jsonl does not say where a step's time goes: {error}"))?;
    let counted = if steps.len() > 1 { &steps[1..] } else { &steps[..] };
    if counted.is_empty() {
        return Err("metrics.jsonl has no line of kind step: expected a run of at least log.interval_steps"
            .to_owned());
    }
    let median = |phase: fn(&StepSeconds) -> f64| {
        let mut values: Vec<f64> = counted.iter().map(phase).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let median = StepSeconds {
        seconds_data: median(|step| step.seconds_data),
        seconds_copy: median(|step| step.seconds_copy),
        seconds_forward: median(|step| step.seconds_forward),
        seconds_backward: median(|step| step.seconds_backward),
        seconds_optimizer: median(|step| step.seconds_optimizer),
    };
    if median.seconds_forward <= 0.0 || median.seconds_backward <= 0.0 {
        return Err("metrics.jsonl has steps whose forward or backward took no time".to_owned());
    }
    Ok(median)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(forward: f64) -> String {
        format!(
            r#"{{"kind":"step","step":1,"seconds_data":0.1,"seconds_copy":0.1,"seconds_forward":{forward},"seconds_backward":2.0,"seconds_optimizer":0.5}}"#
        ) + "\n"
    }

    #[test]
    fn the_median_leaves_out_the_first_interval_and_torn_lines() {
        let epoch = "{\"kind\":\"epoch\",\"epoch\":1}\n";
        let metrics = [&line(9.0), &line(1.0), epoch, &line(3.0), &line(1.5), "{\"kind\":\"st"].concat();
        assert_eq!(median_step(&metrics).unwrap().seconds_forward, 1.5);
        assert_eq!(median_step(&line(9.0)).unwrap().seconds_forward, 9.0);
    }

    #[test]
    fn metrics_without_times_are_refused() {
        for (metrics, expected) in [
            ("".to_owned(), "metrics.jsonl has no line of kind step"),
            (
                "{\"kind\":\"step\"}\n".to_owned(),
                "metrics.jsonl does not say where a step's time goes: missing field",
            ),
            (line(0.0), "metrics.jsonl has steps whose forward or backward took no time"),
        ] {
            let problem = median_step(&metrics).unwrap_err();
            assert!(problem.starts_with(expected), "{problem}");
        }
    }

    #[test]
    fn phases_but_the_update_go_by_images() {
        let times = median_step(&line(1.0)).unwrap().of_micro_batch(0.5);
        assert_eq!(times, MicroBatchTimes { data: 0.1, forward: 0.5, backward: 1.0, optimizer: 0.5 });
        assert_eq!(MicroBatchTimes::of_whole(3.0).micro_batch(), 3.0);
    }
}
