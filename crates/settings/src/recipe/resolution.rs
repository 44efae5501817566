//! The sizes of the training images over the epochs: `data.resolution_px`, or `data.resolution` with its course; and their
//! checks.

use std::collections::BTreeMap;

use regatta_anynet::Stem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::ResolutionCourse;
use crate::error::RecipeError;
use crate::interval::Checked;
use crate::place::Places;
use crate::recipe::{DataSettings, RawData, Recipe};
use crate::required::Required;

/// Keys that only `data.resolution` gives a meaning.
const OF_COURSE: [&str; 2] = ["data.resolution_course", "data.resolution_multiple_px"];
/// What `data.resolution` looks like.
const LIST: &str =
    "a list of tables such as [{ after_epochs = 0, px = 128 }, { after_epochs = 10, px = 224 }]";

/// One entry of `data.resolution`: a size of the training images, and when it is reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawResolutionStep {
    /// Number of epochs before the first one with this size; 0 in the first entry, ascending. Required: a number of epochs.
    #[schemars(range(min = 0, max = 999_999))]
    pub after_epochs: u64,
    /// Height and width of the network's input, in pixels. Required: a number of pixels, at least 1.
    #[schemars(range(min = 1, max = 4096))]
    pub px: u32,
}

/// Sizes of the network's input in training over the epochs; serialised as the keys that specify them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Resolution {
    /// The same size in every epoch.
    Fixed {
        /// Height and width in pixels.
        resolution_px: u32,
    },
    /// A size by epoch.
    Changing {
        /// What happens between two entries.
        resolution_course: ResolutionCourse,
        /// Multiple to which interpolated sizes are rounded, in pixels; set for a linear course only.
        #[serde(skip_serializing_if = "Option::is_none")]
        resolution_multiple_px: Option<u32>,
        /// At least one entry, `after_epochs` ascending from 0.
        resolution: Vec<ResolutionStep>,
    },
}

/// A size of the training images, and when it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ResolutionStep {
    /// Number of epochs before the first one with this size.
    pub after_epochs: u64,
    /// Height and width of the network's input, in pixels.
    pub px: u32,
}

/// A size of the training images, and the number of epochs that have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainedSize {
    /// Height and width of the network's input, in pixels.
    pub px: u32,
    /// Number of epochs.
    pub epochs: u64,
}

impl RawData {
    /// Resolves the sizes of the training images.
    ///
    /// # Errors
    /// Both `resolution_px` and `resolution`, an empty list, or a key of a course without one. Missing keys are noted in
    /// `required`.
    pub(crate) fn resolution(&self, required: &Required) -> Result<Resolution, RecipeError> {
        let places = required.places;
        if !places.is_typed("data.resolution") && self.resolution.is_empty() {
            if let Some(key) = OF_COURSE.into_iter().find(|key| places.is_typed(key)) {
                let problem = format!(
                    "{key} is set, but data.resolution is not: leave it out, or set data.resolution to {LIST}"
                );
                return Err(places.conflict(key, problem));
            }
            return Ok(Resolution::Fixed { resolution_px: self.resolution_px });
        }
        places.require(!self.resolution.is_empty(), "data.resolution", &self.resolution, LIST)?;
        if places.is_typed("data.resolution_px") {
            let problem = "data.resolution_px is set, but data.resolution gives the size in every epoch: keep only one of them";
            return Err(places.conflict("data.resolution_px", problem.to_owned()));
        }
        let is_linear = self.resolution_course == ResolutionCourse::Linear;
        if !is_linear {
            places.refuse_typed(["data.resolution_multiple_px"], "data.resolution_course", r#""linear""#)?;
        }
        let steps = self.resolution.iter().enumerate();
        Ok(Resolution::Changing {
            resolution_course: self.resolution_course,
            resolution_multiple_px: is_linear.then_some(self.resolution_multiple_px),
            resolution: steps.map(|(index, step)| step.resolve(index, required)).collect(),
        })
    }
}

impl RawResolutionStep {
    fn resolve(&self, index: usize, required: &Required) -> ResolutionStep {
        required.note_unset_in(&format!("data.resolution[{index}]"));
        ResolutionStep { after_epochs: self.after_epochs, px: self.px }
    }
}

impl Resolution {
    /// Returns the smallest and the largest size in pixels.
    pub(crate) fn bounds_px(&self) -> (u32, u32) {
        match self {
            Self::Fixed { resolution_px } => (*resolution_px, *resolution_px),
            Self::Changing { resolution, .. } => resolution
                .iter()
                .fold((u32::MAX, 0), |(least, most), step| (least.min(step.px), most.max(step.px))),
        }
    }

    /// Returns the size in an epoch, counted from 0.
    fn px_in(&self, epoch: u64) -> u32 {
        let (multiple, steps) = match self {
            Self::Fixed { resolution_px } => return *resolution_px,
            Self::Changing { resolution_multiple_px, resolution, .. } => (resolution_multiple_px, resolution),
        };
        let begun = steps.iter().rposition(|step| step.after_epochs <= epoch).unwrap_or(0);
        match (multiple, steps.get(begun + 1)) {
            (Some(multiple), Some(next)) => interpolated(steps[begun], *next, *multiple, epoch),
            _ => steps[begun].px,
        }
    }

    /// Rejects entries that do not ascend from 0, lie past the last epoch, or are not multiples where sizes are interpolated.
    fn check(&self, span: (&str, u64), places: &Places) -> Checked {
        let Self::Changing { resolution_multiple_px, resolution, .. } = self else { return Ok(()) };
        let mut before = None;
        for (index, &ResolutionStep { after_epochs, px }) in resolution.iter().enumerate() {
            let key = |name: &str| format!("data.resolution[{index}].{name}");
            check_epoch(&key("after_epochs"), after_epochs, before, span, places)?;
            if let Some(multiple) = *resolution_multiple_px {
                check_multiple(&key("px"), px, multiple, places)?;
            }
            before = Some(after_epochs);
        }
        Ok(())
    }
}

/// Rejects the `after_epochs` of an entry that follows one with `before`, in a run whose length is `epochs`, the key `span`.
fn check_epoch(
    key: &str,
    after_epochs: u64,
    before: Option<u64>,
    (span, epochs): (&str, u64),
    places: &Places,
) -> Checked {
    let accepted = match before {
        None => "0: the first entry is the size of the first epoch".to_owned(),
        Some(before) => format!("an integer above {before}, that of the entry before it"),
    };
    let is_next = before.map_or(after_epochs == 0, |before| before < after_epochs);
    places.require(is_next, key, after_epochs, &accepted)?;
    let accepted = format!(
        "an integer below {span} = {epochs}, since no later epoch is trained (for a short trial of a long recipe, set \
         schedule.epochs to the length of the long one)"
    );
    places.require(after_epochs < epochs, key, after_epochs, &accepted)
}

fn check_multiple(key: &str, px: u32, multiple: u32, places: &Places) -> Checked {
    let fitting = px / multiple * multiple;
    let accepted = format!(
        "a multiple of data.resolution_multiple_px = {multiple}, to which sizes between the entries are rounded, such as {}",
        fitting.max(multiple)
    );
    places.require(fitting == px, key, px, &accepted)
}

/// Returns the size in `epoch`, between two entries, rounded to a multiple of `multiple` pixels. In the arithmetic of FFCV's
/// `get_resolution`, `int(np.round(np.interp(epoch, …) / 32)) * 32`, which rounds halves to the even multiple.
fn interpolated(from: ResolutionStep, to: ResolutionStep, multiple: u32, epoch: u64) -> u32 {
    let slope = (f64::from(to.px) - f64::from(from.px)) / (to.after_epochs as f64 - from.after_epochs as f64);
    let px = slope * (epoch as f64 - from.after_epochs as f64) + f64::from(from.px);
    (px / f64::from(multiple)).round_ties_even() as u32 * multiple
}

impl DataSettings {
    /// Returns the height and width of the network's input in training in an epoch, counted from 0, in pixels.
    pub fn resolution_px_in(&self, epoch: u64) -> u32 {
        self.resolution.px_in(epoch)
    }

    /// Returns whether the network's input in training has several sizes.
    pub fn changes_resolution(&self) -> bool {
        let (smallest, largest) = self.resolution.bounds_px();
        smallest < largest
    }

    /// Returns the smallest height and width of the network's input in training, in pixels.
    pub fn smallest_resolution_px(&self) -> u32 {
        self.resolution.bounds_px().0
    }

    /// Returns the sizes of the training images in the first `epochs` epochs, the smallest first.
    pub fn sizes(&self, epochs: u64) -> Vec<TrainedSize> {
        let mut sizes = BTreeMap::new();
        for epoch in 0..epochs {
            *sizes.entry(self.resolution_px_in(epoch)).or_insert(0) += 1;
        }
        sizes.into_iter().map(|(px, epochs)| TrainedSize { px, epochs }).collect()
    }
}

/// Checks the sizes of the training images against the run's length and the network.
pub(crate) fn check(recipe: &Recipe, places: &Places) -> Checked {
    let (trained, scheduled) = (recipe.train.epochs, recipe.schedule.epochs);
    // A shortened run keeps its list, as it keeps its learning-rate schedule.
    let span = if scheduled > trained { ("schedule.epochs", scheduled) } else { ("train.epochs", trained) };
    recipe.data.resolution.check(span, places)?;
    if recipe.model.stem != Stem::Flatten || !recipe.data.changes_resolution() {
        return Ok(());
    }
    let (smallest, largest) = recipe.data.resolution.bounds_px();
    let problem = format!(
        "data.resolution has sizes from {smallest} to {largest}, but a flattening stem takes images of one size: set \
         data.resolution_px instead"
    );
    Err(places.conflict("data.resolution", problem))
}
