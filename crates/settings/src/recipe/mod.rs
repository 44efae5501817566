//! The resolved recipe: every value explicit, every combination valid, the world size applied.
//!
//! Each section has its own file with its keys (comments, bounds and defaults), their resolution and their checks. A section
//! that needs no resolution is one struct in both forms of a recipe; otherwise `Raw...` is the section as typed.

mod augment;
mod data;
mod job;
mod model;
mod network;
mod optim;
pub(crate) mod resolution;
mod schedule;
mod source;
mod train;

use std::path::Path;

use regatta_anynet::{BucketCaps, Elements, Network};
use regatta_data::{ImageShape, loader_bytes};
use serde::Serialize;

pub use augment::{AugmentSettings, RawAugment};
pub use data::{DataSettings, MAX_RESIZE_PX, RawData};
pub use job::{CheckpointSettings, CommSettings, EvalSettings, LogSettings, RunSettings};
pub use model::{ModelSettings, RawModel};
pub use network::{AnyNet, Architecture, PublishedNetwork, RawAnyNet, RawRegNet, RawStage};
pub use optim::{OptimSettings, Optimizer, RawOptim};
pub use resolution::{RawResolutionStep, Resolution, ResolutionStep, TrainedSize};
pub use schedule::{RawSchedule, Schedule, ScheduleSettings};
pub use source::DataSource;
pub use train::TrainSettings;

use crate::choice::Precision;
use crate::error::RecipeError;
use crate::load::{parse, read};
use crate::place::Places;

/// A resolved recipe, made by [`crate::RawRecipe::resolve`], which guarantees what the fields' comments state. It serialises
/// to a recipe file that [`Recipe::parse`] reads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recipe {
    /// The network.
    pub model: ModelSettings,
    /// The training and validation images.
    pub data: DataSettings,
    /// Random changes of training images.
    pub augment: AugmentSettings,
    /// Training.
    pub train: TrainSettings,
    /// The optimizer.
    pub optim: OptimSettings,
    /// The learning-rate schedule.
    pub schedule: ScheduleSettings,
    /// Evaluation on the validation images.
    pub eval: EvalSettings,
    /// Checkpoints.
    pub checkpoint: CheckpointSettings,
    /// Communication between ranks.
    pub comm: CommSettings,
    /// Log lines and warnings about stragglers.
    pub log: LogSettings,
    /// The run folder and the preemption signal.
    pub run: RunSettings,
    /// Where each value was typed; known only in the process that resolved it.
    #[serde(skip)]
    pub(crate) places: Places,
}

impl Recipe {
    /// Returns the network that the recipe describes; it is valid.
    pub fn network(&self) -> Network {
        let network = self.model.network(self.data.resolution_px);
        network.expect("the network was validated when the recipe was resolved")
    }

    /// Reads a file that contains a resolved recipe, such as a run's `config.toml`.
    ///
    /// # Errors
    /// A file that cannot be read, and the errors of [`Recipe::parse`].
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        Self::parse(path, &read(path)?)
    }

    /// Parses and checks `text`, a resolved recipe that was read from `path`. Neither environment variables nor options are
    /// applied, and the world size does not matter, since the file sets the micro-batch size.
    ///
    /// # Errors
    /// Those of [`crate::load`] and [`crate::RawRecipe::resolve`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, RecipeError> {
        parse(path, text, Vec::new())?.resolve(1, None)
    }

    /// Returns the recipe as the text of a recipe file; it resolves to this recipe again at every valid world size.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe is a table of plain values")
    }

    /// Returns the element sizes for estimating a rank's memory. If the precision is "auto", `short_activations` says
    /// whether the device will choose a 16-bit one.
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

    /// Returns the host memory of the images that a rank loads ahead, in bytes: an estimate, for images of the network's
    /// resolution.
    pub fn loader_bytes(&self) -> u64 {
        let side = self.data.resolution_px.max(self.data.val_resolution_px) as usize;
        let shape = ImageShape { channels: self.model.in_channels as usize, height: side, width: side };
        let largest = self.train.micro_batch_size.max(self.eval.batch_size);
        loader_bytes(self.data.prefetch_batches, largest, shape)
    }

    /// Returns the bytes of one element of parameters, gradients and optimizer state.
    pub fn weight_bytes(&self) -> u64 {
        if self.train.precision == Precision::Fp64 { 8 } else { 4 }
    }

    /// Returns the maximum sizes of gradient buckets.
    pub fn bucket_caps(&self) -> BucketCaps {
        let bytes = |mib: f64| (mib * 1024.0 * 1024.0) as usize;
        BucketCaps { first: bytes(self.comm.first_bucket_mib), rest: bytes(self.comm.bucket_cap_mib) }
    }

    /// Returns the number of optimizer steps in an epoch over `train_images` images.
    pub fn steps_per_epoch(&self, train_images: usize) -> u64 {
        let batch = self.train.global_batch_size;
        let steps = if self.train.drop_last { train_images / batch } else { train_images.div_ceil(batch) };
        steps as u64
    }
}
