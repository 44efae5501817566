//! A recipe as it was typed, and from what it says to what it means: defaults that depend on other keys, and the world size.
//!
//! The last sentence of every key's comment is `Default: VALUE.`, `Required.` or `Required: what it takes.`; [`crate::schema`]
//! reads it, and a test holds it equal to the `Default` implementations. Every integer has its bounds there, to which
//! [`crate::document`] holds what was typed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::check;
use crate::error::RecipeError;
use crate::place::Places;
use crate::recipe::{
    CheckpointSettings, CommSettings, EvalSettings, LogSettings, RawData, RawModel, RawOptim, RawSchedule,
    Recipe, RunSettings, TrainSettings,
};
use crate::required::Required;

/// A recipe as it was typed: every section and key, unknown ones refused. What is unset holds its default; of a key without
/// one, 0 or nothing, until [`RawRecipe::resolve`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawRecipe {
    /// The network.
    pub model: RawModel,
    /// The images.
    pub data: RawData,
    /// The course of training.
    pub train: TrainSettings,
    /// The optimizer.
    pub optim: RawOptim,
    /// The learning rate over time.
    pub schedule: RawSchedule,
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
    /// Which values were typed, and where.
    #[serde(skip)]
    pub places: Places,
}

impl RawRecipe {
    /// The recipe's meaning in a world of `world_size` ranks (at least 1). `kept` is the earlier resolved recipe of
    /// a run that is resumed: its micro-batch size and its schedule's epochs hold where this recipe leaves them unset.
    ///
    /// # Errors
    /// Required keys that are unset, a key that does not belong to the chosen kind, a value out of its range, an
    /// impossible combination, more ranks than micro-batches.
    pub fn resolve(self, world_size: usize, kept: Option<&Recipe>) -> Result<Recipe, RecipeError> {
        assert!(world_size >= 1, "a world has at least one rank");
        let Self { model, data, train, optim, schedule, mut eval, checkpoint, comm, log, run, places } = self;
        let required = Required::of(&places);
        let source = data.source(kept, &required)?;
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
        let data = data.resolve(source, model.in_channels);
        let recipe = Recipe { model, data, train, optim, schedule, eval, checkpoint, comm, log, run, places };
        check(&recipe, world_size)?;
        Ok(recipe)
    }
}
