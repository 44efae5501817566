//! Saves a run's state to a checkpoint and restores it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use regatta_comm::{FlatBuffer, World, broadcast_and_verify};
use regatta_run_folder::checkpoint::Manifest;
use regatta_run_folder::{CheckpointWriter, Damaged, MetricsMark, RunFolder, StorageError};
use tch::Tensor;

use crate::loss_scale::LossScale;
use crate::precise::PreciseStatistics;
use crate::progress::Progress;
use crate::replica::Replica;
use crate::step::Learner;
use crate::tensor_file;

const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
/// The resolved recipe that the run was trained with.
pub(crate) const RECIPE: &str = "recipe.toml";
/// Names of the classes in the order of the logits, if the data set names them: a JSON list.
const CLASSES: &str = "classes.json";

/// One of the networks in a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WeightsKind {
    /// The exponential moving average.
    Ema,
    /// The trained weights.
    Model,
}

impl WeightsKind {
    /// Returns its name in options and metadata.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ema => "ema",
            Self::Model => "model",
        }
    }

    /// Returns the name of its file in a checkpoint.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Ema => "ema.safetensors",
            Self::Model => "model.safetensors",
        }
    }

    /// Returns the name of the file with the statistics that an evaluation at the checkpoint's step computed for it.
    fn precise_file(self) -> &'static str {
        match self {
            Self::Ema => "precise_ema.safetensors",
            Self::Model => "precise.safetensors",
        }
    }

    /// Returns what the run evaluates: the moving average if the checkpoint has one.
    pub(crate) fn evaluated(manifest: &Manifest) -> Self {
        let has_average = manifest.files.iter().any(|file| file.name == Self::Ema.file());
        if has_average { Self::Ema } else { Self::Model }
    }
}

/// Writes the checkpoint of `progress.step` atomically, with the data set's class names if it has any; `precise` are the
/// statistics of an evaluation at that step, `metrics` is the position in the metrics file that belongs to it.
///
/// # Errors
/// A folder that cannot be written.
pub(crate) fn save(
    folder: &RunFolder,
    learner: &Learner,
    progress: &Progress,
    precise: Option<&PreciseStatistics>,
    recipe: &str,
    class_names: Option<&[String]>,
    metrics: MetricsMark,
) -> Result<()> {
    let writer = CheckpointWriter::begin(folder, progress.step)?;
    let replica = &learner.replica;
    let write = |kind: WeightsKind, parameters: &FlatBuffer, running: &FlatBuffer| {
        let tensors = replica.tensors(parameters, running);
        let tensors = tensors.iter().map(|(name, tensor)| (name.clone(), tensor));
        tensor_file::write(&writer.dir().join(kind.file()), tensors)
    };
    let write_precise = |kind: WeightsKind, statistics: &FlatBuffer| {
        let tensors = statistic_names(replica).zip(&statistics.views);
        tensor_file::write(&writer.dir().join(kind.precise_file()), tensors)
    };
    write(WeightsKind::Model, &replica.parameters, &replica.running)?;
    if let Some(ema) = &learner.ema {
        write(WeightsKind::Ema, &ema.parameters, &ema.running)?;
    }
    if let Some(precise) = precise {
        write_precise(WeightsKind::Model, &precise.model)?;
        precise.ema.as_ref().map_or(Ok(()), |ema| write_precise(WeightsKind::Ema, ema))?;
    }
    let state = learner.optimizer.state.iter().flat_map(|(kind, buffer)| {
        parameter_names(replica).map(move |name| format!("{kind}.{name}")).zip(&buffer.views)
    });
    tensor_file::write(&writer.dir().join(OPTIMIZER), state)?;
    write_text(&writer.dir().join(STATE), &serde_json::to_string_pretty(progress)?)?;
    write_text(&writer.dir().join(RECIPE), recipe)?;
    if let Some(names) = class_names {
        write_text(&writer.dir().join(CLASSES), &serde_json::to_string_pretty(names)?)?;
    }
    writer.commit(Some(metrics))?;
    Ok(())
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    Ok(std::fs::write(path, text).map_err(StorageError::io("write", path))?)
}

fn parameter_names(replica: &Replica) -> impl Iterator<Item = String> {
    replica.specs.iter().map(|spec| spec.name.clone())
}

fn statistic_names(replica: &Replica) -> impl Iterator<Item = String> {
    replica.statistics.iter().map(|statistic| statistic.name.clone())
}

/// Reads the checkpoint on rank 0 (the ranks need not share a file system), broadcasts its state and checks that all ranks hold
/// the same. Without a checkpoint it does so with the initial state. A collective.
///
/// # Errors
/// A damaged checkpoint or one of another network, and ranks whose state differs.
pub(crate) fn restore_and_share(
    checkpoint: Option<&Path>,
    learner: &mut Learner,
    world: &World,
) -> Result<Progress> {
    let mut progress = Progress::default();
    if let (Some(path), 0) = (checkpoint, world.rank()) {
        progress = read(path, learner).with_context(|| format!("cannot resume from {}", path.display()))?;
    }
    let progress = world.share(progress)?;
    learner.optimizer.set_updates(progress.updates);
    if let (Some(scale), Some(state)) = (&mut learner.loss_scale, progress.loss_scale) {
        *scale = LossScale::new(state, learner.replica.device());
    }

    share_weights(&mut learner.replica, world)?;
    for (name, buffer) in &mut learner.optimizer.state {
        broadcast_and_verify(world, name, buffer)?;
    }
    if let Some(ema) = &mut learner.ema {
        broadcast_and_verify(world, "moving averages", &mut ema.parameters)?;
        broadcast_and_verify(world, "averaged statistics", &mut ema.running)?;
    }
    Ok(progress)
}

/// Overwrites the network's weights and statistics with rank 0's, and checks that all ranks hold the same. A collective.
///
/// # Errors
/// Ranks whose copies differ.
pub(crate) fn share_weights(replica: &mut Replica, world: &World) -> Result<()> {
    broadcast_and_verify(world, "parameters", &mut replica.parameters)?;
    broadcast_and_verify(world, "statistics", &mut replica.running)?;
    if !replica.frozen.is_empty() {
        broadcast_and_verify(world, "frozen parameters", &mut replica.frozen.parameters)?;
        broadcast_and_verify(world, "frozen statistics", &mut replica.frozen.running)?;
    }
    Ok(())
}

/// Reads what the run's evaluation used from a checkpoint on this rank, by name: parameters or their moving average, and
/// statistics: the precise ones where the evaluation at this step computed them, and otherwise the running ones.
///
/// # Errors
/// A file that cannot be read or is damaged.
pub(crate) fn evaluated_tensors(checkpoint: &Path, kind: WeightsKind) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = tensor_file::read_all(&checkpoint.join(kind.file()))?;
    let precise = checkpoint.join(kind.precise_file());
    if precise.try_exists().map_err(StorageError::io("read", &precise))? {
        tensors.extend(tensor_file::read_all(&precise)?);
    }
    Ok(tensors)
}

/// Fills the replica with the [`evaluated_tensors`] of a checkpoint.
///
/// # Errors
/// Those of [`evaluated_tensors`], and tensors of another network.
pub(crate) fn restore_evaluated(checkpoint: &Path, kind: WeightsKind, replica: &Replica) -> Result<()> {
    let mut tensors = evaluated_tensors(checkpoint, kind)?;
    for (name, mut view) in replica.tensors(&replica.parameters, &replica.running) {
        match tensors.remove(&name) {
            Some(tensor) if tensor.size() == view.size() => tch::no_grad(|| view.copy_(&tensor)),
            _ => {
                let found = format!("no tensor {name} that fits its recipe.toml: it is of another network");
                bail!(StorageError::Content { path: checkpoint.to_owned(), found });
            }
        }
    }
    Ok(())
}

/// Reads the names of the classes from a checkpoint. None if its data set does not name them, or if the checkpoint is
/// older than this file.
///
/// # Errors
/// A file that cannot be read or is not a list of names.
pub(crate) fn class_names(checkpoint: &Path) -> Result<Option<Vec<String>>> {
    let path = checkpoint.join(CLASSES);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io("read", &path)(error).into()),
    };
    let damaged = |error| StorageError::Content { path, found: format!("not a list of names: {error}") };
    Ok(Some(serde_json::from_str(&text).map_err(damaged)?))
}

fn read(path: &Path, learner: &mut Learner) -> Result<Progress> {
    let replica = &learner.replica;
    read_weights(
        &path.join(WeightsKind::Model.file()),
        replica.tensors(&replica.parameters, &replica.running),
    )?;
    if let Some(ema) = &learner.ema {
        // Its frozen tensors are those of the model.
        read_weights(&path.join(WeightsKind::Ema.file()), replica.tensors(&ema.parameters, &ema.running))?;
    }
    let names: Vec<_> = parameter_names(replica).collect();
    let state = learner.optimizer.state.iter_mut().flat_map(|(kind, buffer)| {
        names.iter().map(move |name| format!("{kind}.{name}")).zip(&mut buffer.views)
    });
    tensor_file::read(&path.join(OPTIMIZER), state)?;
    let state = path.join(STATE);
    let text = std::fs::read_to_string(&state).with_context(|| format!("cannot read {}", state.display()))?;
    let progress: Progress =
        serde_json::from_str(&text).with_context(|| format!("{} is not a run's state", state.display()))?;
    let damaged = |reason| Damaged { path: path.to_owned(), reason };
    let step = Manifest::read(path).map_err(damaged)?.step;
    if progress.step != step {
        let reason = format!("{STATE} is of step {}, the manifest of step {step}", progress.step);
        return Err(damaged(reason).into());
    }
    Ok(progress)
}

/// Fills the tensors from a weights file, which holds exactly them.
fn read_weights(path: &Path, mut tensors: Vec<(String, Tensor)>) -> Result<()> {
    tensor_file::read(path, tensors.iter_mut().map(|(name, tensor)| (name.clone(), tensor)))
}
