//! The recipe file: its keys, its resolution for a given world size, and its error messages.
//!
//! [`load`] reads a file and its overrides into a [`RawRecipe`] (the recipe as typed), and [`RawRecipe::resolve`] turns that
//! into a [`Recipe`] (every value explicit and checked). Code that takes a `Recipe` does not check its values again.

mod args;
mod check;
mod choice;
mod data_folder;
mod dataset;
mod differences;
mod document;
mod error;
mod interval;
mod load;
mod nearest;
mod place;
mod raw;
mod recipe;
mod required;
mod schema;

pub use args::{OptionalRecipeArgs, RecipeArgs, Resume, hint_at_set, parse_command_line};
pub use choice::{
    AutoAugment, Backend, ChannelOrder, Device, EmaWarmup, ErasedValue, Filter, GradientCompression, Init,
    JpegMode, LogFormat, Loss, MemoryFormat, OnBadImage, OptimizerName, Precision, PreemptionSignal,
    ResolutionCourse, ScheduleName, Shuffle, SourceName,
};
pub use dataset::DatasetFacts;
pub use differences::{MAY_DIFFER_ON_RESUME, flattened, may_differ};
pub use error::RecipeError;
pub use load::{key_of_variable, load};
pub use place::{Place, Places};
pub use raw::RawRecipe;
pub use recipe::{
    AnyNet, Architecture, AugmentSettings, CheckpointSettings, CommSettings, DataSettings, DataSource,
    EvalSettings, LogSettings, MAX_RESIZE_PX, ModelSettings, OptimSettings, Optimizer, PublishedNetwork,
    RawAnyNet, RawAugment, RawData, RawModel, RawOptim, RawRegNet, RawResolutionStep, RawSchedule, RawStage,
    Recipe, Resolution, ResolutionStep, RunSettings, Schedule, ScheduleSettings, TrainSettings, TrainedSize,
};
pub use required::UnsetKey;
pub use schema::{KeyDoc, schema, schema_text};
