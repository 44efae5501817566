//! What the command line names: the weights, and the recipe that they are evaluated with.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use regatta_anynet::{Network, Stem};
use regatta_data::Source;
use regatta_run_folder::checkpoint::Manifest;
use regatta_run_folder::{Damaged, StorageError};
use regatta_settings::{
    self as settings, CommSettings, DataSource, MemoryFormat, Precision, RawRecipe, Recipe, Shuffle,
    TrainSettings,
};
use serde::Serialize;

use super::EvaluateCommand;
use crate::checkpoint::{EMA, restore_evaluated};
use crate::failure::Usage;
use crate::pretrained::Pretrained;
use crate::replica::Replica;
use crate::start::Start;

/// The names of the classes in a checkpoint, a JSON list, where the run's data set names them.
const CLASSES: &str = "classes.json";
/// Largest value of data.val_resize_px.
const MAX_RESIZE_PX: u64 = 8192;

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
        /// Whether the moving average is evaluated.
        ema: bool,
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

    /// Logs the damaged checkpoints that were skipped.
    pub(super) fn log_damaged(&self) {
        if let Weights::Checkpoint { start, .. } = &self.weights {
            start.damaged.iter().for_each(|damaged| tracing::info!("skipped checkpoint: {damaged}"));
        }
    }

    /// Returns the resolved recipe, of the run's network, with its precision and memory format where they are left open, and at
    /// another resolution if one is given.
    ///
    /// # Errors
    /// An invalid recipe, one of another network than the checkpoint's, and a resolution that the network does not take.
    pub(super) fn recipe(&self, resolution: Option<u32>) -> Result<Recipe> {
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
        spare_training_images(&mut recipe.data.source);
        Ok(recipe)
    }

    /// Checks that the classes of `source` are those that the checkpoint was trained on, where both have names.
    ///
    /// # Errors
    /// Other classes, and a list of names that cannot be read.
    pub(super) fn check_classes(&self, source: &dyn Source) -> Result<()> {
        let Weights::Checkpoint { path, .. } = &self.weights else { return Ok(()) };
        let file = path.join(CLASSES);
        let text = match fs::read_to_string(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            outcome => outcome.map_err(StorageError::io("read", &file))?,
        };
        let trained: Vec<String> = serde_json::from_str(&text).map_err(|error| {
            let found = format!("not a list of class names: {error}");
            StorageError::Content { path: file.clone(), found }
        })?;
        let Some(found) = source.class_names() else { return Ok(()) };
        Ok(require_same_classes(&trained, found)?)
    }

    /// Fills the replica with the weights and the statistics of evaluation.
    ///
    /// # Errors
    /// A file that cannot be read, or that does not fit the recipe's network and classes.
    pub(super) fn load(&self, recipe: &Recipe, replica: &mut Replica) -> Result<()> {
        match &self.weights {
            Weights::Checkpoint { path, ema, .. } => restore_evaluated(path, *ema, replica),
            Weights::File(path) => {
                Pretrained::read_complete(path, &recipe.network())?.fill(replica);
                Ok(())
            }
        }
    }

    /// Describes the weights.
    pub(super) fn described(&self) -> Described {
        match &self.weights {
            Weights::Checkpoint { path, step, ema, .. } => Described {
                weights: if *ema { "ema" } else { "model" }.to_owned(),
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
        let path = start.checkpoint.clone().expect("a start at a path has a checkpoint");
        let manifest = Manifest::read(&path).map_err(|reason| Damaged { path: path.clone(), reason })?;
        let has_ema = manifest.files.iter().any(|file| file.name == EMA);
        if command.ema && !has_ema {
            bail!(Usage(format!(
                "--ema: the run keeps no moving average, {} has none: leave --ema out",
                path.display()
            )));
        }
        Ok(Self::Checkpoint { start, path, step: manifest.step, ema: has_ema && !command.raw })
    }

    /// Returns the path of the checkpoint's recipe.
    fn config(&self) -> Option<&Path> {
        match self {
            Self::Checkpoint { start, .. } => start.config(),
            Self::File(_) => None,
        }
    }
}

/// Fills in a precision and memory format that the recipe leaves open: those of the run, or else fp32, in which published
/// weights are evaluated, and the default format. Nothing is timed, so that results repeat.
fn settle(train: &mut TrainSettings, kept: Option<&TrainSettings>) {
    if train.precision == Precision::Auto {
        let kept = kept.map(|kept| kept.precision).filter(|&precision| precision != Precision::Auto);
        train.precision = kept.unwrap_or(Precision::Fp32);
    }
    if train.memory_format == MemoryFormat::Auto {
        let kept = kept.map(|kept| kept.memory_format).filter(|&format| format != MemoryFormat::Auto);
        train.memory_format = kept.unwrap_or(MemoryFormat::ChannelsLast);
    }
}

/// Sets the side of the network's input in evaluation, and scales that of the resized image in the same ratio.
fn set_resolution(recipe: &mut Recipe, px: u32) -> Result<()> {
    let data = &mut recipe.data;
    if recipe.model.stem == Stem::Flatten && px != data.resolution_px {
        bail!(Usage(format!(
            "--resolution {px}: a flattening stem takes images of one size, data.resolution_px = {}: leave it out",
            data.resolution_px
        )));
    }
    if let Some(resize_px) = &mut data.val_resize_px {
        let (own, px) = (u64::from(data.val_resolution_px), u64::from(px));
        let scaled = (u64::from(*resize_px) * px + own / 2) / own;
        if scaled > MAX_RESIZE_PX {
            bail!(Usage(format!(
                "--resolution {px} makes data.val_resize_px = {scaled}, as {resize_px} at {own} px: at most {MAX_RESIZE_PX} is \
                 possible"
            )));
        }
        *resize_px = scaled as u32;
    }
    data.val_resolution_px = px;
    Ok(())
}

/// Checks that the recipe describes the network that the checkpoint was saved of; dropout has no effect in evaluation.
fn require_same_network(kept: &Recipe, recipe: &Recipe, checkpoint: &Path) -> Result<()> {
    let evaluated = |recipe: &Recipe| Network { dropout: 0.0, ..recipe.network() };
    if evaluated(kept) == evaluated(recipe) {
        return Ok(());
    }
    let is_of_network = |line: &String| line.starts_with("model.") || line.starts_with("data.resolution_px:");
    let lines: Vec<_> = kept.differences(recipe).into_iter().filter(is_of_network).collect();
    bail!(Usage(format!(
        "the recipe describes another network than that of {}; leave --config out, or undo:\n  {}",
        checkpoint.display(),
        lines.join("\n  ")
    )))
}

/// Logs what the evaluation does otherwise than the run's own.
fn log_differences(kept: &Recipe, recipe: &Recipe) {
    let affects = |line: &&String| {
        ["data.", "eval.", "train.precision:", "train.memory_format:"].iter().any(|key| line.starts_with(key))
    };
    let lines = kept.differences(recipe).into_iter().chain(kept.changes(recipe)).collect::<Vec<_>>();
    for line in lines.iter().filter(affects) {
        tracing::info!("other than in the run: {line}");
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

/// Keeps what only training needs from being prepared: windows of archives that are read ahead, and local copies of archives.
fn spare_training_images(source: &mut DataSource) {
    if let DataSource::TarShards { shuffle, stage_folder, .. } = source {
        *shuffle = Shuffle::Global;
        *stage_folder = None;
    }
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

    /// A recipe of 64 px for image files with these keys of the network.
    fn recipe(model: &str) -> Recipe {
        let text = format!(
            "model = {{ classes = 10, anynet = {{ {model} }} }}\n[data]\ndataset = \"image_folder\"\nfolder = \"x\"\n\
             resolution_px = 64\n[train]\nepochs = 1\nglobal_batch_size = 8\n[optim]\nname = \"sgd\"\nlr = 0.1\n"
        );
        Recipe::parse(Path::new("recipe.toml"), &text).unwrap()
    }

    const NARROW: &str = "stages = [{ depth = 1, width = 16, group_width = 8 }]";
    const WIDE: &str = "stages = [{ depth = 1, width = 24, group_width = 8 }]";
    const MLP: &str = "block = \"mlp\", stages = [{ depth = 1, width = 16 }]";

    #[test]
    fn resize_and_crop_are_scaled_in_the_same_ratio() {
        let check = |model: &str, resize_px: u32, px: u32, expected: &str| {
            let mut recipe = recipe(model);
            recipe.data.val_resize_px = Some(resize_px);
            let outcome = set_resolution(&mut recipe, px).map_err(|error| error.to_string());
            let sides = format!("{:?} {}", recipe.data.val_resize_px, recipe.data.val_resolution_px);
            assert_eq!(outcome.err().unwrap_or(sides), expected);
        };
        check(NARROW, 73, 128, "Some(146) 128");
        check(NARROW, 73, 96, "Some(110) 96"); // 109.5
        check(NARROW, 64, 64, "Some(64) 64");
        check(
            NARROW,
            4000,
            640,
            "--resolution 640 makes data.val_resize_px = 40000, as 4000 at 64 px: at most 8192 is possible",
        );
        check(MLP, 73, 64, "Some(73) 64");
        check(
            MLP,
            73,
            65,
            "--resolution 65: a flattening stem takes images of one size, data.resolution_px = 64: leave it out",
        );
    }

    #[test]
    fn another_network_is_named_by_its_keys() {
        let (kept, mut other) = (recipe(NARROW), recipe(NARROW));
        other.model.dropout = 0.5;
        other.train.seed = 7;
        let check =
            |other: &Recipe| require_same_network(&kept, other, Path::new("x")).map_err(|it| it.to_string());
        assert_eq!(check(&other), Ok(()));
        let expected = "the recipe describes another network than that of x; leave --config out, or undo:\n  \
                        model.stages[0].width: 16 -> 24";
        assert_eq!(check(&recipe(WIDE)).unwrap_err(), expected);
    }

    #[test]
    fn an_open_precision_is_the_runs_and_else_fp32() {
        let settled = |own: Precision, kept: Option<Precision>| {
            let mut train = TrainSettings { precision: own, ..TrainSettings::default() };
            train.memory_format = MemoryFormat::Auto;
            let kept = kept.map(|precision| TrainSettings {
                precision,
                memory_format: MemoryFormat::Contiguous,
                ..TrainSettings::default()
            });
            settle(&mut train, kept.as_ref());
            (train.precision, train.memory_format)
        };
        let (contiguous, channels_last) = (MemoryFormat::Contiguous, MemoryFormat::ChannelsLast);
        assert_eq!(settled(Precision::Auto, Some(Precision::Bf16)), (Precision::Bf16, contiguous));
        assert_eq!(settled(Precision::Fp64, Some(Precision::Bf16)), (Precision::Fp64, contiguous));
        assert_eq!(settled(Precision::Auto, None), (Precision::Fp32, channels_last));
    }
}
