//! What a recipe means: every value explicit, every combination possible, the world size applied.
//!
//! Each section has its file, with its keys (their comments, bounds and defaults), what they mean and their checks. A section
//! whose keys mean what they say has one struct for both forms of a recipe; of others `Raw...` is what was typed.

mod data;
mod job;
mod model;
mod network;
mod optim;
mod schedule;
mod train;

use std::path::Path;

use regatta_anynet::{BucketCaps, Elements, Network};
use serde::Serialize;

pub use data::{DataSettings, DataSource, RawData};
pub use job::{CheckpointSettings, CommSettings, EvalSettings, LogSettings, RunSettings};
pub use model::{ModelSettings, RawModel};
pub use network::{AnyNet, Architecture, PublishedNetwork, RawAnyNet, RawRegNet, RawStage};
pub use optim::{OptimSettings, Optimizer, RawOptim};
pub use schedule::{RawSchedule, Schedule, ScheduleSettings};
pub use train::TrainSettings;

use crate::choice::Precision;
use crate::error::RecipeError;
use crate::load::{parse, read};
use crate::place::Places;

/// A resolved recipe. Made by [`crate::RawRecipe::resolve`], which holds what every field promises; serialised, it
/// is a recipe file again, which [`Recipe::parse`] reads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recipe {
    /// The network.
    pub model: ModelSettings,
    /// The images.
    pub data: DataSettings,
    /// The course of training.
    pub train: TrainSettings,
    /// The optimizer.
    pub optim: OptimSettings,
    /// The learning rate over time.
    pub schedule: ScheduleSettings,
    /// Evaluation on the validation images.
    pub eval: EvalSettings,
    /// Checkpoints.
    pub checkpoint: CheckpointSettings,
    /// Communication between ranks.
    pub comm: CommSettings,
    /// The log.
    pub log: LogSettings,
    /// The run folder.
    pub run: RunSettings,
    /// Where each value was typed; known only in the process that resolved it.
    #[serde(skip)]
    pub(crate) places: Places,
}

impl Recipe {
    /// The network that the recipe describes; it is valid.
    pub fn network(&self) -> Network {
        let network = self.model.network(self.data.resolution_px);
        network.expect("the network was validated when the recipe was resolved")
    }

    /// Reads a file that holds a resolved recipe, such as a run's `config.toml`.
    ///
    /// # Errors
    /// A file that cannot be read, and as [`Recipe::parse`].
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        Self::parse(path, &read(path)?)
    }

    /// Checks `text`, a resolved recipe that was read from `path`, as every other recipe is checked. Neither environment nor
    /// options are applied, and the size of the world does not matter, since the micro-batch size stands in the file.
    ///
    /// # Errors
    /// As [`crate::load`] and [`crate::RawRecipe::resolve`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, RecipeError> {
        parse(path, text, Vec::new())?.resolve(1, None)
    }

    /// The recipe as a recipe file; resolved at any world size that fits, it is this recipe again.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe is a table of plain values")
    }

    /// What a rank's memory is counted in. Where the precision is chosen by the device, `short_activations` says whether it
    /// will be one of 16 bits.
    pub fn elements(&self, short_activations: bool) -> Elements {
        let activation_bytes = match self.train.precision {
            Precision::Fp64 => 8,
            Precision::Fp32 => 4,
            Precision::Bf16 | Precision::Fp16 => 2,
            Precision::Auto => {
                if short_activations {
                    2
                } else {
                    4
                }
            }
        };
        let optimizer_states = match self.optim.optimizer {
            Optimizer::Sgd { .. } => 1,
            Optimizer::AdamW { .. } => 2,
        };
        Elements { weight_bytes: self.weight_bytes(), activation_bytes, optimizer_states }
    }

    /// Bytes of an element of parameters, gradients and what belongs to them.
    pub fn weight_bytes(&self) -> u64 {
        if self.train.precision == Precision::Fp64 { 8 } else { 4 }
    }

    /// Sizes at which a bucket of gradients is full.
    pub fn bucket_caps(&self) -> BucketCaps {
        let bytes = |mib: f64| (mib * 1024.0 * 1024.0) as usize;
        BucketCaps { first: bytes(self.comm.first_bucket_mib), rest: bytes(self.comm.bucket_cap_mib) }
    }

    /// Optimizer steps of an epoch over `train_images` images.
    pub fn steps_per_epoch(&self, train_images: usize) -> u64 {
        let batch = self.train.global_batch_size;
        let steps = if self.train.drop_last { train_images / batch } else { train_images.div_ceil(batch) };
        steps as u64
    }
}
