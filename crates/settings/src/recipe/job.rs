//! `[eval]`, `[checkpoint]`, `[comm]`, `[log]` and `[run]`: their keys and the checks of each.

use std::path::PathBuf;

use regatta_anynet::MAX_BATCH;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::{Backend, GradientCompression, LogFormat, PreemptionSignal};
use crate::interval::{ABOVE_ZERO, AT_LEAST_ONE, Checked, Interval};
use crate::place::Places;

/// From 0 to a year.
const INTERVAL_MINUTES: Interval =
    Interval { contains: |minutes| (0.0..=525_600.0).contains(&minutes), words: "a number from 0 to 525600" };
/// Above 0, up to a year.
const TIMEOUT_S: Interval = Interval {
    contains: |seconds| 0.0 < seconds && seconds <= 31_536_000.0,
    words: "a number above 0, at most 31536000",
};

/// `[eval]`: evaluation on the validation images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EvalSettings {
    /// Number of epochs between evaluations; the last epoch is evaluated too. 0 disables evaluation. Default: 1.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub interval_epochs: u64,
    /// Images per forward pass; 0 uses the micro-batch size. Default: 0.
    #[schemars(range(min = 0, max = MAX_BATCH))]
    pub batch_size: usize,
    /// Number of training images over which the BatchNorm statistics of an evaluation are computed anew, with the weights
    /// of that moment (precise BatchNorm; pycls uses 8192); 0 evaluates with the running statistics. Default: 0.
    #[schemars(range(min = 0, max = 100_000_000))]
    pub precise_bn_images: usize,
}

impl Default for EvalSettings {
    fn default() -> Self {
        Self { interval_epochs: 1, batch_size: 0, precise_bn_images: 0 }
    }
}

impl EvalSettings {
    /// Rejects precise statistics of one image, or without an evaluation that uses them.
    pub(crate) fn check(&self, places: &Places) -> Checked {
        let (key, images) = ("eval.precise_bn_images", self.precise_bn_images);
        let accepted = "0, or a number of images from 2, since one image has no variance";
        places.require(images != 1, key, images, accepted)?;
        if images > 0 && self.interval_epochs == 0 {
            let problem = format!(
                "{key} = {images}, but eval.interval_epochs = 0 disables the evaluations that use them: set \
                 eval.interval_epochs to 1 or more, or leave {key} out"
            );
            return Err(places.conflict(key, problem));
        }
        Ok(())
    }
}

/// `[checkpoint]`: when checkpoints are saved and which are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointSettings {
    /// Number of epochs between checkpoints; one is always saved at the end of the run. Default: 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub interval_epochs: u64,
    /// Number of optimizer steps between additional checkpoints; 0 disables them. Default: 0.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub interval_steps: u64,
    /// Minutes between additional checkpoints, by rank 0's clock; 0 disables them. Default: 0.0.
    pub interval_minutes: f64,
    /// Number of newest checkpoints kept on disk; the best one is kept as well. Default: 2.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub keep: usize,
    /// Number of epochs between permanent checkpoints: each of these epochs ends with a checkpoint to which `keep` does
    /// not apply; 0 disables them. Default: 0.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub keep_every_epochs: u64,
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self { interval_epochs: 1, interval_steps: 0, interval_minutes: 0.0, keep: 2, keep_every_epochs: 0 }
    }
}

impl CheckpointSettings {
    /// Rejects values out of their range.
    pub(crate) fn check(&self, places: &Places) -> Checked {
        places.require_in(&INTERVAL_MINUTES, "checkpoint.interval_minutes", self.interval_minutes)
    }
}

/// `[comm]`: communication between ranks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CommSettings {
    /// Library for collectives between ranks: "auto" selects NCCL if every rank has its own GPU and MPI on CPUs, "single"
    /// is for exactly one rank. Default: "auto".
    pub backend: Backend,
    /// Time limit of a collective in seconds, above 0; when it is exceeded, the run ends and reports the rank that is
    /// behind. Default: 600.0.
    pub timeout_s: f64,
    /// Maximum size of the gradient bucket that is ready first, in MiB, above 0. Default: 1.0.
    pub first_bucket_mib: f64,
    /// Maximum size of the other gradient buckets, in MiB, above 0; a block is never split. Default: 4.0.
    pub bucket_cap_mib: f64,
    /// Rounding of gradients before the all-reduce: "none" leaves them unchanged, "bf16" halves the bytes that NCCL
    /// sends. Default: "none".
    pub gradient_compression: GradientCompression,
}

impl Default for CommSettings {
    fn default() -> Self {
        Self {
            backend: Backend::Auto,
            timeout_s: 600.0,
            first_bucket_mib: 1.0,
            bucket_cap_mib: 4.0,
            gradient_compression: GradientCompression::None,
        }
    }
}

impl CommSettings {
    /// Rejects values out of their range.
    pub(crate) fn check(&self, places: &Places) -> Checked {
        places.require_in(&TIMEOUT_S, "comm.timeout_s", self.timeout_s)?;
        places.require_in(&ABOVE_ZERO, "comm.first_bucket_mib", self.first_bucket_mib)?;
        places.require_in(&ABOVE_ZERO, "comm.bucket_cap_mib", self.bucket_cap_mib)
    }
}

/// `[log]`: log lines, TensorBoard, and warnings about stragglers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Number of optimizer steps between log lines and between step records in metrics.jsonl. Default: 20.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub interval_steps: u64,
    /// Format of log lines: "text" for people, "json" for one JSON object per line. Default: "text".
    pub format: LogFormat,
    /// Whether rank 0 writes event files for TensorBoard to the run folder: everything that is in metrics.jsonl, the
    /// recipe, a sheet of training images, the filters of the first layer. Default: false.
    pub tensorboard: bool,
    /// Number of optimizer steps between histograms of all weights and gradients in the event files; 0 disables them.
    /// Default: 0.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub histogram_interval_steps: u64,
    /// Factor, at least 1, that defines a straggler: a rank whose own work in a step takes this many times the median of
    /// the other ranks. Default: 1.5.
    pub straggler_factor: f64,
    /// Number of consecutive log intervals after which a warning reports a straggler, once; 0 disables the warning.
    /// Default: 5.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub straggler_intervals: u64,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            interval_steps: 20,
            format: LogFormat::Text,
            tensorboard: false,
            histogram_interval_steps: 0,
            straggler_factor: 1.5,
            straggler_intervals: 5,
        }
    }
}

impl LogSettings {
    /// Rejects values out of their range, and histograms without a file for them.
    pub(crate) fn check(&self, places: &Places) -> Checked {
        let (key, interval) = ("log.histogram_interval_steps", self.histogram_interval_steps);
        if interval > 0 && !self.tensorboard {
            let problem = format!(
                "{key} = {interval}, but histograms are written for TensorBoard only: set log.tensorboard = true, or \
                 leave {key} out"
            );
            return Err(places.conflict(key, problem));
        }
        places.require_in(&AT_LEAST_ONE, "log.straggler_factor", self.straggler_factor)
    }
}

/// `[run]`: the run folder and the preemption signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunSettings {
    /// Folder that contains the run folders, relative to the trainer's working folder. Default: "runs".
    pub folder: PathBuf,
    /// Signal that makes a rank save a checkpoint and stop, as SIGTERM and SIGINT do; schedulers send it before they
    /// reclaim the node. Default: "usr2".
    pub preemption_signal: PreemptionSignal,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self { folder: PathBuf::from("runs"), preemption_signal: PreemptionSignal::Usr2 }
    }
}

impl RunSettings {
    /// Rejects an empty folder.
    pub(crate) fn check(&self, places: &Places) -> Checked {
        let is_path = !self.folder.as_os_str().is_empty();
        places.require(is_path, "run.folder", &self.folder, "the path of a folder, such as \"runs\"")
    }
}
