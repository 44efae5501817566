//! `trainer export`: a checkpoint's weights as a file that torchvision, timm or pycls loads, or as an ONNX model.

mod metadata;

pub(crate) mod onnx;
mod onnxruntime;

mod python;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use regatta_anynet::{MAX_BATCH, Naming, Network};
use regatta_run_folder::checkpoint::Manifest;
use regatta_run_folder::{ExitCode, StorageError, check_output, print_output, write_output};
use regatta_settings::Recipe;
use tch::Tensor;

use crate::checkpoint::{WeightsKind, class_names, evaluated_tensors};
use crate::failure::Usage;
use crate::start::Start;
use crate::tensor_file;

/// `trainer export`.
#[derive(Debug, Args)]
pub(crate) struct ExportCommand {
    /// A run folder, of which the newest checkpoint is exported; a checkpoint; or a weights file in a checkpoint
    #[arg(long, value_name = "PATH")]
    checkpoint: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replaces an existing file
    #[arg(long)]
    force: bool,
    /// The trained weights or their moving average; by default the moving average if the run keeps one, since that is what it
    /// evaluates
    #[arg(long, value_enum)]
    weights: Option<WeightsKind>,
    /// Weights for PyTorch, or a model for any runtime that reads ONNX
    #[arg(long, value_enum, default_value = "safetensors")]
    format: Format,
    /// The library whose tensor names are used (safetensors only) [default: torchvision]
    #[arg(long, value_parser = naming_parser())]
    names: Option<Naming>,
    /// Number of images of the model's input (onnx only); by default it is chosen when the model is run
    #[arg(long, value_name = "IMAGES", value_parser = clap::value_parser!(u32).range(1..=MAX_BATCH))]
    batch: Option<u32>,
    /// Height and width of the model's input in pixels (onnx only) [default: data.val_resolution_px]
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(1..=4096))]
    resolution: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Weights, with the names of a library.
    Safetensors,
    /// A model that takes normalised images and returns logits.
    Onnx,
}

/// Parses the name of a library.
fn naming_parser() -> impl TypedValueParser<Value = Naming> {
    PossibleValuesParser::new(Naming::ALL.map(Naming::library))
        .try_map(|library| Naming::of(&library).ok_or("unknown library"))
}

/// What is exported, read from a checkpoint.
struct Source {
    recipe: Recipe,
    network: Network,
    /// The file of the weights, for messages.
    file: PathBuf,
    /// What the run's evaluation used.
    tensors: BTreeMap<String, Tensor>,
    class_names: Option<Vec<String>>,
    weights: WeightsKind,
    step: u64,
}

/// Writes the file and prints the Python code that uses it.
///
/// # Errors
/// Options of the other format, a missing or damaged checkpoint, or a file that exists or cannot be written.
pub(crate) fn export(command: &ExportCommand) -> Result<ExitCode> {
    command.check()?;
    check_output(&command.out, command.force)?;
    let source = Source::read(command)?;
    let (bytes, said) = match command.format {
        Format::Safetensors => safetensors(source, command)?,
        Format::Onnx => onnx::export(&source, (command.batch, command.resolution), &command.out)?,
    };
    write_output(&command.out, command.force, &bytes)?;
    print_output(format_args!("{}: {said}", command.out.display()))?;
    Ok(ExitCode::Done)
}

impl ExportCommand {
    /// Refuses options of the format that was not chosen.
    fn check(&self) -> Result<()> {
        let (other, options) = match self.format {
            Format::Safetensors => {
                ("onnx", vec![("--batch", self.batch.is_some()), ("--resolution", self.resolution.is_some())])
            }
            Format::Onnx => ("safetensors", vec![("--names", self.names.is_some())]),
        };
        match options.into_iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => bail!(Usage(format!("{option} is an option of --format {other}"))),
            None => Ok(()),
        }
    }
}

impl Source {
    fn read(command: &ExportCommand) -> Result<Self> {
        let (checkpoint, weights_file) = checkpoint_of(&command.checkpoint);
        let start = Start::at("--checkpoint", checkpoint)?;
        for damaged in &start.damaged {
            _ = writeln!(io::stderr(), "warning: skipped checkpoint: {damaged}");
        }
        let recipe = Recipe::read(start.config().expect("a checkpoint has its recipe"))?;
        let (path, manifest) = start.verified()?;
        let weights = chosen(command.weights.or(weights_file), &manifest, path)?;
        Ok(Self {
            network: recipe.network(),
            file: path.join(weights.file()),
            tensors: evaluated_tensors(path, weights)?,
            class_names: class_names(path)?,
            step: manifest.step,
            weights,
            recipe,
        })
    }
}

/// Returns the content of a safetensors file, and what is said about it.
fn safetensors(source: Source, command: &ExportCommand) -> Result<(Vec<u8>, String)> {
    let naming = command.names.unwrap_or(Naming::Torchvision);
    let about = metadata::of_safetensors(&source, naming).into_iter().collect();
    let Source { tensors, file, network, step, .. } = source;
    let tensors = renamed(tensors, &file, &network, naming, step)?;
    let bytes = tensor_file::bytes(tensors.iter().map(|(name, tensor)| (name.clone(), tensor)), Some(about))?;
    let said = format!(
        "{} tensors of {}, with {}'s names\n\n{}",
        tensors.len(),
        file.display(),
        naming.library(),
        python::lines(&network, naming, &command.out)
    );
    Ok((bytes, said))
}

/// Returns the checkpoint folder of a weights file, and the kind of weights in it; any other path unchanged.
fn checkpoint_of(path: &Path) -> (&Path, Option<WeightsKind>) {
    let mut kinds = [WeightsKind::Model, WeightsKind::Ema].into_iter();
    let weights = kinds.find(|kind| path.file_name().is_some_and(|name| name == kind.file()));
    match path.parent() {
        Some(folder) if weights.is_some() && path.is_file() && folder.join("manifest.json").exists() => {
            (folder, weights)
        }
        _ => (path, None),
    }
}

fn chosen(asked: Option<WeightsKind>, manifest: &Manifest, path: &Path) -> Result<WeightsKind> {
    let evaluated = WeightsKind::evaluated(manifest);
    match asked {
        Some(WeightsKind::Ema) if evaluated != WeightsKind::Ema => bail!(Usage(format!(
            "--weights ema: there is no moving average in {} (neither train.ema_decay nor train.ema_half_life_steps is set): use \
             --weights model",
            path.display()
        ))),
        asked => Ok(asked.unwrap_or(evaluated)),
    }
}

/// Renames the network's tensors, `all` those of a checkpoint's `file`, and adds PyTorch's `num_batches_tracked` for every
/// BatchNorm.
///
/// # Errors
/// A tensor that is missing.
pub(crate) fn renamed(
    mut all: BTreeMap<String, Tensor>,
    file: &Path,
    network: &Network,
    naming: Naming,
    step: u64,
) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    for (name, _) in network.tensors() {
        let Some(tensor) = all.remove(&name) else {
            let found =
                format!("there is no tensor {name} in it: it is of another network than its recipe.toml");
            bail!(StorageError::Content { path: file.to_owned(), found });
        };
        tensors.insert(naming.name(&name), tensor);
        if let Some(norm) = name.strip_suffix("running_mean") {
            let count = naming.name(&format!("{norm}num_batches_tracked"));
            tensors.insert(count, Tensor::from(step as i64));
        }
    }
    Ok(tensors)
}
