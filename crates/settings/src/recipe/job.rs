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
    /// Epochs from one evaluation to the next; the last epoch is evaluated too. 0 never evaluates. Default: 1.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub interval_epochs: u64,
    /// Images per forward pass; 0 takes the micro-batch size. Default: 0.
    #[schemars(range(min = 0, max = MAX_BATCH))]
    pub batch_size: usize,
}

impl Default for EvalSettings {
    fn default() -> Self {
        Self { interval_epochs: 1, batch_size: 0 }
    }
}

/// `[checkpoint]`: checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointSettings {
    /// Epochs from one checkpoint to the next; the end of the run always leaves one. Default: 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub interval_epochs: u64,
    /// Optimizer steps from one checkpoint to the next, besides those at epochs; 0 is off. Default: 0.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub interval_steps: u64,
    /// Minutes from one checkpoint to the next, by rank 0's clock, besides the others; 0 is off. Default: 0.0.
    pub interval_minutes: f64,
    /// Newest checkpoints that stay on disk; the best one stays besides. Default: 2.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub keep: usize,
    /// Epochs from one checkpoint that stays for good to the next: each of these epochs ends with a checkpoint, which `keep`
    /// does not count out; 0 is off. Default: 0.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub keep_every_epochs: u64,
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self { interval_epochs: 1, interval_steps: 0, interval_minutes: 0.0, keep: 2, keep_every_epochs: 0 }
    }
}

impl CheckpointSettings {
    pub(crate) fn check(&self, places: &Places) -> Checked {
        places.require_in(&INTERVAL_MINUTES, "checkpoint.interval_minutes", self.interval_minutes)
    }
}

/// `[comm]`: communication between ranks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CommSettings {
    /// What carries tensors between ranks: "auto" takes NCCL where every rank has its own GPU and MPI on CPUs, "single"
    /// is a world of one rank. Default: "auto".
    pub backend: Backend,
    /// Seconds that ranks may wait in a collective before the run ends and names the rank that is behind, above 0.
    /// Default: 600.0.
    pub timeout_s: f64,
    /// Size of the gradient bucket that is ready first, in MiB, above 0. Default: 1.0.
    pub first_bucket_mib: f64,
    /// Largest size of the other gradient buckets, in MiB, above 0; a block is never split. Default: 4.0.
    pub bucket_cap_mib: f64,
    /// What gradients are rounded to before they are summed: "none" sums them as they are, "bf16" halves the bytes that
    /// NCCL sends. Default: "none".
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
    pub(crate) fn check(&self, places: &Places) -> Checked {
        places.require_in(&TIMEOUT_S, "comm.timeout_s", self.timeout_s)?;
        places.require_in(&ABOVE_ZERO, "comm.first_bucket_mib", self.first_bucket_mib)?;
        places.require_in(&ABOVE_ZERO, "comm.bucket_cap_mib", self.bucket_cap_mib)
    }
}

/// `[log]`: the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Optimizer steps from one log line (and metrics line) to the next. Default: 20.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub interval_steps: u64,
    /// How log lines are written: "text" for people, "json" one object a line. Default: "text".
    pub format: LogFormat,
    /// A rank is a straggler when its own work in a step takes this many times as long as the middle one of the other ranks';
    /// at least 1. Default: 1.5.
    pub straggler_factor: f64,
    /// Log intervals in a row after which a straggler is named by a warning, once; 0 is never. Default: 5.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub straggler_intervals: u64,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { interval_steps: 20, format: LogFormat::Text, straggler_factor: 1.5, straggler_intervals: 5 }
    }
}

impl LogSettings {
    pub(crate) fn check(&self, places: &Places) -> Checked {
        places.require_in(&AT_LEAST_ONE, "log.straggler_factor", self.straggler_factor)
    }
}

/// `[run]`: the run folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunSettings {
    /// Folder that holds the run folders, relative to where the trainer is started. Default: "runs".
    pub folder: PathBuf,
    /// The signal, "usr1" or "usr2", that asks a rank to stop with a checkpoint, as SIGTERM and SIGINT do; schedulers send it
    /// before they take the node. Default: "usr2".
    pub preemption_signal: PreemptionSignal,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self { folder: PathBuf::from("runs"), preemption_signal: PreemptionSignal::Usr2 }
    }
}

impl RunSettings {
    pub(crate) fn check(&self, places: &Places) -> Checked {
        let is_path = !self.folder.as_os_str().is_empty();
        places.require(is_path, "run.folder", &self.folder, "the path of a folder, such as \"runs\"")
    }
}
