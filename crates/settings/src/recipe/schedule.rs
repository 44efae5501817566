//! `[schedule]`: its keys, the learning-rate schedule that they resolve to, and their checks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::ScheduleName;
use crate::error::RecipeError;
use crate::interval::{Checked, FRACTION, Interval};
use crate::place::Places;
use crate::recipe::TrainSettings;
use crate::required::Required;

const GAMMA: Interval =
    Interval { contains: |factor| 0.0 < factor && factor <= 1.0, words: "a number above 0 and at most 1" };

/// `[schedule]`: the learning-rate schedule, updated at every step or once an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawSchedule {
    /// Shape of the schedule after the warm-up. Default: "constant".
    pub name: ScheduleName,
    /// Length of the schedule in epochs: a run that is extended with `train.epochs` keeps it and continues at the final
    /// learning rate, unless this key is set again. Default: train.epochs at the run's first start, kept on resume.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub epochs: Option<u64>,
    /// Length of the linear warm-up in epochs; 0 disables it. Default: 0.0.
    pub warmup_epochs: f64,
    /// Learning rate at the start of the warm-up, as a fraction of `optim.lr`, 0 to 1. Default: 0.0.
    pub warmup_start_fraction: f64,
    /// Epochs at which the learning rate is multiplied by `gamma`, ascending (step only, and required there).
    /// Default: unset.
    pub milestones_epochs: Option<Vec<f64>>,
    /// Factor applied at each milestone, above 0 and at most 1 (step only). Default: 0.1.
    pub gamma: f64,
    /// Learning rate at the end of the schedule, as a fraction of `optim.lr`, 0 to 1 (cosine and linear only).
    /// Default: 0.0.
    pub final_lr_fraction: f64,
    /// Whether the learning rate is set once an epoch, to its value at the epoch's start, as pycls and torchvision do;
    /// otherwise at every step. Default: false.
    pub by_epoch: bool,
    /// Whether the schedule spans all epochs and the warm-up multiplies it, as in pycls; otherwise the warm-up comes before
    /// the schedule. Default: false.
    pub warmup_multiplies: bool,
}

impl Default for RawSchedule {
    fn default() -> Self {
        Self {
            name: ScheduleName::Constant,
            epochs: None,
            warmup_epochs: 0.0,
            warmup_start_fraction: 0.0,
            milestones_epochs: None,
            gamma: 0.1,
            final_lr_fraction: 0.0,
            by_epoch: false,
            warmup_multiplies: false,
        }
    }
}

/// Resolved `[schedule]`: the learning-rate schedule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScheduleSettings {
    /// Shape of the schedule after the warm-up.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// Length of the schedule in epochs, at least 1; after it the learning rate stays constant.
    pub epochs: u64,
    /// Length of the linear warm-up in epochs, shorter than the schedule; 0 if there is none.
    pub warmup_epochs: f64,
    /// Learning rate at the start of the warm-up, as a fraction of `optim.lr`, in [0, 1]; above 0 if there is a warm-up by
    /// epoch.
    pub warmup_start_fraction: f64,
    /// Whether the learning rate is set once an epoch, to its value at the epoch's start.
    pub by_epoch: bool,
    /// Whether the shape spans all epochs, multiplied by the warm-up; otherwise it begins after the warm-up.
    pub warmup_multiplies: bool,
}

/// Shape of the learning-rate schedule after the warm-up.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Schedule {
    /// Constant at `optim.lr`.
    Constant {},
    /// Multiplied by `gamma` at each milestone.
    Step {
        /// Epochs, ascending, above 0 and below the schedule's length; at least one.
        milestones_epochs: Vec<f64>,
        /// The factor, in (0, 1].
        gamma: f64,
    },
    /// Half a cosine down to a fraction of `optim.lr`.
    Cosine {
        /// The fraction at the end of the schedule, in [0, 1].
        final_lr_fraction: f64,
    },
    /// A straight line down to a fraction of `optim.lr`.
    Linear {
        /// The fraction at the end of the schedule, in [0, 1].
        final_lr_fraction: f64,
    },
}

impl RawSchedule {
    /// Resolves the schedule, with a length of `epochs` if `schedule.epochs` is unset.
    ///
    /// # Errors
    /// A key that does not belong to the chosen shape. Missing keys are noted in `required`.
    pub(crate) fn resolve(self, epochs: u64, required: &Required) -> Result<ScheduleSettings, RecipeError> {
        let places = required.places;
        if self.name != ScheduleName::Step {
            let keys = ["schedule.milestones_epochs", "schedule.gamma"];
            places.refuse_typed(keys, "schedule.name", r#""step""#)?;
        }
        if !matches!(self.name, ScheduleName::Cosine | ScheduleName::Linear) {
            places.refuse_typed(
                ["schedule.final_lr_fraction"],
                "schedule.name",
                r#""cosine" or "linear""#,
            )?;
        }
        let schedule = match self.name {
            ScheduleName::Constant => Schedule::Constant {},
            ScheduleName::Step => Schedule::Step {
                milestones_epochs: required.value(
                    self.milestones_epochs,
                    "schedule.milestones_epochs",
                    "a list of epochs such as [30, 60, 90]",
                ),
                gamma: self.gamma,
            },
            ScheduleName::Cosine => Schedule::Cosine { final_lr_fraction: self.final_lr_fraction },
            ScheduleName::Linear => Schedule::Linear { final_lr_fraction: self.final_lr_fraction },
        };
        Ok(ScheduleSettings {
            schedule,
            epochs: self.epochs.unwrap_or(epochs),
            warmup_epochs: self.warmup_epochs,
            warmup_start_fraction: self.warmup_start_fraction,
            by_epoch: self.by_epoch,
            warmup_multiplies: self.warmup_multiplies,
        })
    }
}

impl ScheduleSettings {
    /// Rejects values out of their range, a warm-up or milestones beyond the schedule's length, and an epoch without a learning
    /// rate.
    pub(crate) fn check(&self, train: &TrainSettings, places: &Places) -> Checked {
        let epochs = self.epochs as f64;
        let span = if self.epochs == train.epochs { "train.epochs" } else { "schedule.epochs" };
        let warmup = self.warmup_epochs;
        let accepted = format!("a number, at least 0 and below {span} = {epochs}");
        places.require((0.0..epochs).contains(&warmup), "schedule.warmup_epochs", warmup, &accepted)?;
        places.require_in(&FRACTION, "schedule.warmup_start_fraction", self.warmup_start_fraction)?;
        if self.by_epoch && warmup > 0.0 && self.warmup_start_fraction == 0.0 {
            let key = "schedule.warmup_start_fraction";
            let problem = format!(
                "{key} = 0 with schedule.by_epoch = true makes the learning rate of the first epoch 0: set {key}, \
                 for example to 0.1"
            );
            return Err(places.conflict(key, problem));
        }
        match &self.schedule {
            Schedule::Constant {} => Ok(()),
            Schedule::Step { milestones_epochs: milestones, gamma } => {
                let is_ascending = milestones.is_sorted_by(|a, b| a < b);
                let is_within = milestones.iter().all(|&epoch| 0.0 < epoch && epoch < epochs);
                let is_right = !milestones.is_empty() && is_ascending && is_within;
                let accepted = format!("ascending numbers above 0 and below {span} = {epochs}");
                places.require(is_right, "schedule.milestones_epochs", milestones, &accepted)?;
                places.require_in(&GAMMA, "schedule.gamma", *gamma)
            }
            Schedule::Cosine { final_lr_fraction } | Schedule::Linear { final_lr_fraction } => {
                places.require_in(&FRACTION, "schedule.final_lr_fraction", *final_lr_fraction)
            }
        }
    }
}
