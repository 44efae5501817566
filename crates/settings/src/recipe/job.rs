//! The resolved `[eval]`, `[checkpoint]`, `[comm]`, `[log]` and `[run]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::choice::{Backend, GradientCompression, LogFormat, PreemptionSignal};

/// Evaluation on the validation images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalSettings {
    /// Epochs from one evaluation to the next, at least 1.
    pub interval_epochs: u64,
    /// Images per forward pass, at least 1.
    pub batch_size: usize,
}

/// Checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointSettings {
    /// Epochs from one checkpoint to the next, at least 1.
    pub interval_epochs: u64,
    /// Steps from one checkpoint to the next; 0 is off.
    pub interval_steps: u64,
    /// Minutes from one checkpoint to the next, at least 0; 0 is off.
    pub interval_minutes: f64,
    /// Newest checkpoints that stay on disk, at least 1.
    pub keep: usize,
    /// Epochs from one checkpoint that stays for good to the next; 0 is off.
    pub keep_every_epochs: u64,
}

/// Communication between ranks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommSettings {
    /// What carries tensors between ranks.
    pub backend: Backend,
    /// Seconds that ranks may wait in a collective, above 0.
    pub timeout_s: f64,
    /// Size of the gradient bucket that is ready first, in MiB, above 0.
    pub first_bucket_mib: f64,
    /// Largest size of the other gradient buckets, in MiB, above 0.
    pub bucket_cap_mib: f64,
    /// What gradients are rounded to before they are summed over ranks.
    pub gradient_compression: GradientCompression,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogSettings {
    /// Steps from one log line to the next, at least 1.
    pub interval_steps: u64,
    /// How lines are written.
    pub format: LogFormat,
    /// How many times as long as the others' a straggler's own work takes, at least 1.
    pub straggler_factor: f64,
    /// Log intervals in a row after which it is named; 0 is never.
    pub straggler_intervals: u64,
}

/// The run folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSettings {
    /// Folder that holds the run folders.
    pub folder: PathBuf,
    /// The signal that asks a rank to stop with a checkpoint.
    pub preemption_signal: PreemptionSignal,
}
