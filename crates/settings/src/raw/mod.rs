//! What a recipe file may say, key by key; unset stays visible where unset means something.
//!
//! The last sentence of every key's comment is `Default: VALUE.` or `Required.`; [`crate::schema`] reads it, and a
//! test holds it equal to the `Default` implementations. Every integer has its bounds there, to which [`crate::document`]
//! holds what was typed.

mod job;
mod model;
mod training;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use job::{RawCheckpoint, RawComm, RawEval, RawLog, RawRun};
pub use model::{RawAnyNet, RawData, RawModel, RawRegNet, RawStage};
pub use training::{RawOptim, RawSchedule, RawTrain};

use crate::place::Places;

/// A recipe as it was typed: every section and key, unknown ones refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawRecipe {
    /// The network.
    pub model: RawModel,
    /// The images.
    pub data: RawData,
    /// The course of training.
    pub train: RawTrain,
    /// The optimizer.
    pub optim: RawOptim,
    /// The learning rate over time.
    pub schedule: RawSchedule,
    /// Evaluation on the validation images.
    pub eval: RawEval,
    /// Checkpoints.
    pub checkpoint: RawCheckpoint,
    /// Communication between ranks.
    pub comm: RawComm,
    /// The log.
    pub log: RawLog,
    /// The run folder.
    pub run: RawRun,
    /// Where each value was typed, so that a refusal can say so.
    #[serde(skip)]
    pub places: Places,
}
