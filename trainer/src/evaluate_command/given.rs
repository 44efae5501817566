//! What the command line names: the weights, and the recipe that they are evaluated with.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use regatta_data::{Source, Split};
use regatta_run_folder::{RunFolder, StorageError};
use regatta_settings::{self as settings, CommSettings, RawRecipe, Recipe};
use serde::Serialize;

use super::EvaluateCommand;
use super::adapt::{log_differences, require_same_network, set_resolution, settle, spare_training};
use crate::checkpoint::{WeightsKind, class_names, restore_evaluated};
use crate::failure::Usage;
use crate::pretrained::Pretrained;
use crate::replica::Replica;
use crate::start::Start;

/// Largest batch of a recipe that sets neither that of evaluation nor the micro-batch, in images.
const MAX_DEFAULT_BATCH: usize = 128;

/// The weights, and the recipe as typed.
pub(super) struct Given {
    raw: RawRecipe,
    weights: Weights,
}

enum Weights {
    /// Those of a checkpoint, verified.
    Checkpoint {
        start: Start,
        path: PathBuf,
        step: u64,
        /// What is evaluated of it.
        kind: WeightsKind,
    },
    /// Those of a safetensors file.
    File(PathBuf),
}

/// The weights, for the report.
#[derive(Debug, Serialize)]
pub(super) struct Described {
    /// `ema` or `model` of a checkpoint; else the file's path.
    pub(super) weights: String,
    /// Folder of the checkpoint.
    pub(super) checkpoint: Option<String>,
    /// Number of optimizer steps done in the checkpoint.
    pub(super) step: Option<u64>,
}

impl Given {
    /// Finds the weights and reads the recipe: `--config`, or else that of the checkpoint.
    ///
    /// # Errors
    /// A missing or damaged checkpoint, one without a moving average that was asked for, and an invalid recipe.
    pub(super) fn find(command: &EvaluateCommand) -> Result<Self> {
        let weights = match (&command.checkpoint, &command.weights) {
            (Some(path), _) => Weights::of_checkpoint(path, command)?,
            (None, Some(file)) => Weights::File(file.clone()),
            (None, None) => unreachable!("clap asks for one of them"),
        };
        let config = command.config.as_deref().or(weights.config());
        let config = config.expect("clap asks for --config or --checkpoint");
        let raw = settings::load(config, std::env::vars_os(), &command.set)?;
        Ok(Self { raw, weights })
    }

    /// Returns the settings with which the ranks meet.
    pub(super) fn comm(&self) -> CommSettings {
        self.raw.comm.clone()
    }

    /// Returns the run folder of the checkpoint.
    ///
    /// # Errors
    /// If the checkpoint lies elsewhere, as a copy may.
    pub(super) fn run_folder(&self) -> Result<RunFolder> {
        let Weights::Checkpoint { path, .. } = &self.weights else {
            unreachable!("clap asks for --checkpoint")
        };
        let full = path.canonicalize().map_err(StorageError::io("look for", path))?;
        let folder = full.parent().and_then(Path::parent).map(|folder| RunFolder::new(folder, ""));
        let is_run =
            |folder: &RunFolder| full.parent() == Some(&folder.checkpoints()) && folder.attempts().is_dir();
        folder.filter(is_run).ok_or_else(|| {
            let path = path.display();
            Usage(format!(
                "--save: {path} lies in no run folder: leave --save out, or give a checkpoint of a run"
            ))
            .into()
        })
    }

    /// Logs the damaged checkpoints that were skipped.
    pub(super) fn log_damaged(&self) {
        if let Weights::Checkpoint { start, .. } = &self.weights {
            start.damaged.iter().for_each(|damaged| tracing::info!("skipped checkpoint: {damaged}"));
        }
    }

    /// Returns the resolved recipe for an evaluation of `split`, of the run's network, with its precision and memory format where they are left open, and at
    /// another resolution if one is given.
    ///
    /// # Errors
    /// An invalid recipe, one of another network than the checkpoint's, and a resolution that the network does not take.
    pub(super) fn recipe(&self, resolution: Option<u32>, split: Split) -> Result<Recipe> {
        let kept = match &self.weights {
            Weights::Checkpoint { start, .. } => start.kept_recipe()?,
            Weights::File(_) => None,
        };
        // The batches of an evaluation do not depend on the number of ranks.
        let mut recipe = self.raw.clone().resolve(1, kept.as_ref())?;
        settle(&mut recipe.train, kept.as_ref().map(|kept| &kept.train));
        if let Some(px) = resolution {
            set_resolution(&mut recipe, px)?;
        }
        if let (Some(kept), Weights::Checkpoint { path, .. }) = (&kept, &self.weights) {
            require_same_network(kept, &recipe, path)?;
            log_differences(kept, &recipe);
        }
        spare_training(&mut recipe, split);
        if self.raw.eval.batch_size == 0 && self.raw.train.micro_batch_size == 0 && kept.is_none() {
            recipe.eval.batch_size = recipe.eval.batch_size.min(MAX_DEFAULT_BATCH);
        }
        Ok(recipe)
    }

    /// Checks that the classes of `source` are those that the checkpoint was trained on, where both have names.
    ///
    /// # Errors
    /// Other classes, and a list of names that cannot be read.
    pub(super) fn check_classes(&self, source: &dyn Source) -> Result<()> {
        let Weights::Checkpoint { path, .. } = &self.weights else { return Ok(()) };
        let Some(trained) = class_names(path)? else { return Ok(()) };
        let Some(found) = source.class_names() else { return Ok(()) };
        Ok(require_same_classes(&trained, found)?)
    }

    /// Fills the replica with the weights and the statistics of evaluation.
    ///
    /// # Errors
    /// A file that cannot be read, or that does not fit the recipe's network and classes.
    pub(super) fn load(&self, recipe: &Recipe, replica: &mut Replica) -> Result<()> {
        match &self.weights {
            Weights::Checkpoint { path, kind, .. } => restore_evaluated(path, *kind, replica),
            Weights::File(path) => {
                Pretrained::read_complete(path, &recipe.network())?.fill(replica);
                Ok(())
            }
        }
    }

    /// Describes the weights.
    pub(super) fn described(&self) -> Described {
        match &self.weights {
            Weights::Checkpoint { path, step, kind, .. } => Described {
                weights: kind.name().to_owned(),
                checkpoint: Some(path.display().to_string()),
                step: Some(*step),
            },
            Weights::File(path) => {
                Described { weights: path.display().to_string(), checkpoint: None, step: None }
            }
        }
    }
}

impl Weights {
    fn of_checkpoint(path: &Path, command: &EvaluateCommand) -> Result<Self> {
        let start = Start::at("--checkpoint", path)?;
        let (path, manifest) = start.verified()?;
        let evaluated = WeightsKind::evaluated(&manifest);
        if command.ema && evaluated != WeightsKind::Ema {
            bail!(Usage(format!("--ema: there is no moving average in {}: leave --ema out", path.display())));
        }
        let kind = if command.raw { WeightsKind::Model } else { evaluated };
        Ok(Self::Checkpoint { path: path.to_owned(), step: manifest.step, kind, start })
    }

    /// Returns the path of the checkpoint's recipe.
    fn config(&self) -> Option<&Path> {
        match self {
            Self::Checkpoint { start, .. } => start.config(),
            Self::File(_) => None,
        }
    }
}

/// Checks that two lists of class names are equal.
fn require_same_classes(trained: &[String], found: &[String]) -> Result<(), Usage> {
    if trained == found {
        return Ok(());
    }
    let place = trained.iter().zip(found).position(|(trained, found)| trained != found);
    let difference = match place {
        Some(class) => {
            format!("class {class} is {:?} there and {:?} in this data set", trained[class], found[class])
        }
        None => format!("{} there and {} in this data set", trained.len(), found.len()),
    };
    Err(Usage(format!("the checkpoint was trained on other classes: {difference}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_classes_are_named() {
        let check = |trained: &[&str], found: &[&str], expected: &str| {
            let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
            let checked = require_same_classes(&owned(trained), &owned(found));
            assert_eq!(checked.map_err(|error| error.to_string()).err().unwrap_or_default(), expected);
        };
        check(&["cat", "dog"], &["cat", "dog"], "");
        let other = "the checkpoint was trained on other classes: ";
        check(
            &["cat", "dog"],
            &["cat", "fox"],
            &format!("{other}class 1 is \"dog\" there and \"fox\" in this data set"),
        );
        check(&["cat", "dog"], &["cat"], &format!("{other}2 there and 1 in this data set"));
    }
}
