//! A recipe as typed, and its resolution: defaults that depend on other keys, and the world size.
//!
//! The last sentence of every key's comment is `Default: VALUE.`, `Required.` or `Required: ACCEPTED VALUES.`. It is read by
//! [`crate::schema`], and a test compares it with the `Default` implementations. Every integer declares its bounds with its
//! key; [`crate::document`] checks them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::check;
use crate::error::RecipeError;
use crate::place::Places;
use crate::recipe::{
    CheckpointSettings, CommSettings, EvalSettings, LogSettings, RawAugment, RawData, RawModel, RawOptim,
    RawSchedule, Recipe, RunSettings, TrainSettings,
};
use crate::required::Required;

/// A recipe as typed: every section and key; unknown ones are rejected. An unset key has its default, or 0 or nothing until
/// [`RawRecipe::resolve`] if it has none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawRecipe {
    /// The network.
    pub model: RawModel,
    /// The training and validation images.
    pub data: RawData,
    /// Random changes of training images.
    pub augment: RawAugment,
    /// Training.
    pub train: TrainSettings,
    /// The optimizer.
    pub optim: RawOptim,
    /// The learning-rate schedule.
    pub schedule: RawSchedule,
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
    /// Where each value was typed.
    #[serde(skip)]
    pub places: Places,
}

impl RawRecipe {
    /// Resolves the recipe for a world of `world_size` ranks (at least 1). `kept` is the resolved recipe of the run that is
    /// resumed: its micro-batch size and its schedule's epochs apply where this recipe leaves them unset.
    ///
    /// # Errors
    /// Required keys that are unset, a key that does not belong to the chosen kind, a value out of its range, an
    /// impossible combination, more ranks than micro-batches.
    pub fn resolve(self, world_size: usize, kept: Option<&Recipe>) -> Result<Recipe, RecipeError> {
        assert!(world_size >= 1, "a world has at least one rank");
        let Self {
            model,
            data,
            augment,
            train,
            optim,
            schedule,
            mut eval,
            checkpoint,
            comm,
            log,
            run,
            places,
        } = self;
        let required = Required::of(&places);
        let source = data.source(kept, &required)?;
        let resolution = data.resolution(&required)?;
        let model = model.resolve(&source, &required)?;
        required.note_unset_in("train");
        let train = train.resolve(world_size, kept.map(|kept| &kept.train));
        required.note_unset_in("optim");
        let optim = optim.resolve(&places)?;
        let schedule_epochs = kept.map_or(train.epochs, |kept| kept.schedule.epochs);
        let schedule = schedule.resolve(schedule_epochs, &required)?;
        required.refuse_unset()?;
        if eval.batch_size == 0 {
            eval.batch_size = train.micro_batch_size;
        }
        let augment = augment.resolve(&source, &places)?;
        let data = data.resolve(source, resolution, model.in_channels, &places)?;
        let recipe =
            Recipe { model, data, augment, train, optim, schedule, eval, checkpoint, comm, log, run, places };
        check(&recipe, world_size)?;
        Ok(recipe)
    }
}
