//! `trainer export`: a checkpoint's weights as a file that torchvision, timm or pycls loads.

mod python;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use regatta_anynet::{Naming, Network};
use regatta_run_folder::checkpoint::Manifest;
use regatta_run_folder::{Damaged, ExitCode, StorageError, check_output, print_output, write_output};
use regatta_settings::{Architecture, Recipe};
use tch::Tensor;

use crate::checkpoint::{EMA, MODEL, evaluated_tensors};
use crate::failure::Usage;
use crate::start::Start;
use crate::tensor_file;

/// `trainer export`.
#[derive(Debug, Args)]
pub(crate) struct ExportCommand {
    /// A run folder, of which the newest checkpoint is exported; a checkpoint; or a weights file in a checkpoint
    #[arg(long, value_name = "PATH")]
    checkpoint: PathBuf,
    /// The safetensors file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replaces an existing file
    #[arg(long)]
    force: bool,
    /// The trained weights or their moving average; by default the moving average if the run keeps one, since that is what it
    /// evaluates
    #[arg(long, value_enum)]
    weights: Option<WeightsKind>,
    /// The library whose tensor names are used
    #[arg(long, value_parser = naming_parser(), default_value = "torchvision")]
    names: Naming,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WeightsKind {
    /// The exponential moving average.
    Ema,
    /// The trained weights.
    Model,
}

/// Parses the name of a library.
fn naming_parser() -> impl TypedValueParser<Value = Naming> {
    PossibleValuesParser::new(Naming::ALL.map(Naming::library))
        .try_map(|library| Naming::of(&library).ok_or("unknown library"))
}

/// Writes the file and prints the Python code that loads it.
///
/// # Errors
/// A missing or damaged checkpoint, or a file that exists or cannot be written.
pub(crate) fn export(command: &ExportCommand) -> Result<ExitCode> {
    check_output(&command.out, command.force)?;
    let (checkpoint, weights_file) = checkpoint_of(&command.checkpoint);
    let start = Start::at("--checkpoint", checkpoint)?;
    for damaged in &start.damaged {
        _ = writeln!(io::stderr(), "warning: skipped checkpoint: {damaged}");
    }
    let recipe = Recipe::read(start.config().expect("a checkpoint has its recipe"))?;
    let path = start.checkpoint.as_deref().expect("a start at a path has a checkpoint");
    // `Start::at` has verified its files.
    let manifest = Manifest::read(path).map_err(|reason| Damaged { path: path.to_owned(), reason })?;
    let weights = chosen(command.weights.or(weights_file), &manifest, path)?;
    let is_ema = weights == WeightsKind::Ema;
    let file = path.join(if is_ema { EMA } else { MODEL });
    let (network, naming) = (recipe.network(), command.names);
    let tensors = renamed(evaluated_tensors(path, is_ema)?, &file, &network, naming, manifest.step)?;
    let about = metadata(&recipe, weights, naming, manifest.step);
    let bytes = tensor_file::bytes(tensors.iter().map(|(name, tensor)| (name.clone(), tensor)), Some(about))?;
    write_output(&command.out, command.force, &bytes)?;
    print_output(format_args!(
        "{}: {} tensors of {}, with {}'s names\n\n{}",
        command.out.display(),
        tensors.len(),
        file.display(),
        naming.library(),
        python::lines(&network, naming, &command.out)
    ))?;
    Ok(ExitCode::Done)
}

/// Returns the checkpoint folder of a weights file, and the kind of weights in it; any other path unchanged.
fn checkpoint_of(path: &Path) -> (&Path, Option<WeightsKind>) {
    let weights = match path.file_name().and_then(|name| name.to_str()) {
        Some(MODEL) => WeightsKind::Model,
        Some(EMA) => WeightsKind::Ema,
        _ => return (path, None),
    };
    match path.parent() {
        Some(folder) if path.is_file() && folder.join("manifest.json").exists() => (folder, Some(weights)),
        _ => (path, None),
    }
}

fn chosen(asked: Option<WeightsKind>, manifest: &Manifest, path: &Path) -> Result<WeightsKind> {
    let has_ema = manifest.files.iter().any(|file| file.name == EMA);
    match asked {
        Some(WeightsKind::Ema) if !has_ema => bail!(Usage(format!(
            "--weights ema: the run keeps no moving average (train.ema_decay = 0), {} has none: use --weights model",
            path.display()
        ))),
        Some(weights) => Ok(weights),
        None => Ok(if has_ema { WeightsKind::Ema } else { WeightsKind::Model }),
    }
}

/// Renames the network's tensors, `all` those of a checkpoint's `file`; adds PyTorch's `num_batches_tracked` for every BatchNorm.
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

/// Returns the file's metadata, which safetensors restricts to strings.
fn metadata(recipe: &Recipe, weights: WeightsKind, naming: Naming, step: u64) -> HashMap<String, String> {
    let arch = match &recipe.model.architecture {
        Architecture::Published(published) => published.0.name(),
        Architecture::RegNet(_) => "regnet".to_owned(),
        Architecture::AnyNet(_) => "anynet".to_owned(),
    };
    let json = |value: serde_json::Result<String>| value.expect("plain values");
    [
        ("format", "pt".to_owned()),
        ("producer", format!("regatta {}", env!("CARGO_PKG_VERSION"))),
        ("arch", arch),
        ("model", json(serde_json::to_string(&recipe.model))),
        ("classes", recipe.model.classes.to_string()),
        ("mean", json(serde_json::to_string(&recipe.data.mean))),
        ("std", json(serde_json::to_string(&recipe.data.std))),
        ("resolution_px", recipe.data.resolution_px.to_string()),
        ("weights", if weights == WeightsKind::Ema { "ema" } else { "model" }.to_owned()),
        ("names", naming.library().to_owned()),
        ("step", step.to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}
