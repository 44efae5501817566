//! A line of `results.jsonl`: one trained network, with everything needed to train it again and to analyse it without its run
//! folder.

use std::collections::BTreeMap;

use regatta_anynet::{Generator, Network};
use regatta_run_folder::{EpochRecord, Schema};
use serde::{Deserialize, Serialize};

/// The result of a trial: one network of one space, trained with one seed. In a search, a trial that was promoted has a line for
/// each budget that it was trained to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialResult {
    /// Version of the format.
    #[serde(default)]
    pub schema: Schema<1>,
    /// Name of the trial and of its run folder, such as `anynet_x_a-007` or, for a further training seed, `anynet_x_a-007-s1`.
    pub id: String,
    /// Name of the space in the sweep file.
    pub space: String,
    /// Number of the network in its space, counted from 0.
    pub sample: u64,
    /// Seed from which the space's networks are drawn.
    pub sampling_seed: u64,
    /// Seed of the training (`train.seed`).
    pub training_seed: u64,
    /// Keys of the recipe that the trial sets, with their values in TOML, in the order in which they are applied.
    pub set: Vec<(String, String)>,
    /// The network.
    pub network: Network,
    /// The parameters of the RegNet rule that the network was made by, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<Generator>,
    /// Values that were drawn for keys of the recipe, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub drawn: BTreeMap<String, serde_json::Value>,
    /// Height and width of the images that the complexity was counted for, in pixels.
    pub resolution_px: u32,
    /// Multiply-adds of one image.
    pub flops: u64,
    /// Trainable parameters.
    pub params: u64,
    /// Outputs of all convolutions and of the classifier, of one image.
    pub activations: u64,
    /// How long it was to be trained.
    pub budget: Budget,
    /// The metrics of every epoch.
    pub epochs: Vec<EpochRecord>,
    /// How it ended.
    pub end: End,
    /// Seconds that the training of all epochs took, evaluations and pauses between starts excluded.
    pub seconds: f64,
    /// Number of starts.
    pub attempts: u64,
    /// Number of ranks.
    pub ranks: usize,
    /// Host that trained it last.
    pub host: String,
    /// Time when the result was recorded, UTC, RFC 3339.
    pub ended_at: String,
    /// Versions of what trained it, by name: so far that of `regatta` alone.
    pub versions: BTreeMap<String, String>,
}

/// How long a trial is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Epochs after which this line was written (`train.epochs`).
    pub epochs: u64,
    /// Epochs of the learning-rate schedule (`schedule.epochs`): in a search, the largest budget.
    pub schedule_epochs: u64,
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum End {
    /// It was trained to the end of its budget.
    Done,
    /// Its loss or gradients stopped being finite numbers.
    Diverged {
        /// What the run reported.
        cause: String,
    },
    /// It failed for a reason that may lie outside of the network: memory, data, communication, storage.
    Failed {
        /// What the run reported.
        cause: String,
        /// The run's exit code.
        exit_code: i32,
    },
}

impl TrialResult {
    /// Returns the error, 1 minus the top-1 accuracy, on the validation images at the end of the budget. A network that diverged
    /// has the error of guessing, (classes - 1) / classes, so that it is not missing from a distribution. None for a trial that
    /// failed, since that says nothing about the network.
    pub fn error(&self) -> Option<f64> {
        match self.end {
            End::Done => self.epochs.last()?.val_top1.map(|top1| 1.0 - top1),
            End::Diverged { .. } => Some(1.0 - 1.0 / self.network.classes as f64),
            End::Failed { .. } => None,
        }
    }
}
