//! Saves a run's state to a checkpoint and restores it.

use std::path::Path;

use anyhow::{Context, Result};
use regatta_comm::{FlatBuffer, World, broadcast_and_verify};
use regatta_run_folder::checkpoint::Manifest;
use regatta_run_folder::{CheckpointWriter, Damaged, MetricsMark, RunFolder, StorageError};
use tch::Tensor;

use crate::loss_scale::LossScale;
use crate::progress::Progress;
use crate::replica::Replica;
use crate::step::Learner;
use crate::tensor_file;

pub(crate) const MODEL: &str = "model.safetensors";
pub(crate) const EMA: &str = "ema.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
/// The resolved recipe that the run was trained with.
pub(crate) const RECIPE: &str = "recipe.toml";

/// Writes the checkpoint of `progress.step` atomically; `metrics` is the position in the metrics file that belongs to it.
///
/// # Errors
/// A folder that cannot be written.
pub(crate) fn save(
    folder: &RunFolder,
    learner: &Learner,
    progress: &Progress,
    recipe: &str,
    metrics: MetricsMark,
) -> Result<()> {
    let writer = CheckpointWriter::begin(folder, progress.step)?;
    let replica = &learner.replica;
    write_weights(&writer.dir().join(MODEL), replica, &replica.parameters)?;
    if let Some(ema) = &learner.ema {
        write_weights(&writer.dir().join(EMA), replica, ema)?;
    }
    let state = learner.optimizer.state.iter().flat_map(|(kind, buffer)| {
        parameter_names(replica).map(move |name| format!("{kind}.{name}")).zip(&buffer.views)
    });
    tensor_file::write(&writer.dir().join(OPTIMIZER), state)?;
    write_text(&writer.dir().join(STATE), &serde_json::to_string_pretty(progress)?)?;
    write_text(&writer.dir().join(RECIPE), recipe)?;
    writer.commit(Some(metrics))?;
    Ok(())
}

/// Writes the network with `parameters` for those that are trained.
fn write_weights(path: &Path, replica: &Replica, parameters: &FlatBuffer) -> Result<()> {
    let tensors = replica.tensors(parameters, &replica.running);
    tensor_file::write(path, tensors.iter().map(|(name, tensor)| (name.clone(), tensor)))
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    Ok(std::fs::write(path, text).map_err(StorageError::io("write", path))?)
}

fn parameter_names(replica: &Replica) -> impl Iterator<Item = String> {
    replica.specs.iter().map(|spec| spec.name.clone())
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

    let replica = &mut learner.replica;
    broadcast_and_verify(world, "parameters", &mut replica.parameters)?;
    broadcast_and_verify(world, "statistics", &mut replica.running)?;
    if !replica.frozen.is_empty() {
        broadcast_and_verify(world, "frozen parameters", &mut replica.frozen.parameters)?;
        broadcast_and_verify(world, "frozen statistics", &mut replica.frozen.running)?;
    }
    for (name, buffer) in &mut learner.optimizer.state {
        broadcast_and_verify(world, name, buffer)?;
    }
    if let Some(ema) = &mut learner.ema {
        broadcast_and_verify(world, "moving averages", ema)?;
    }
    Ok(progress)
}

fn read(path: &Path, learner: &mut Learner) -> Result<Progress> {
    let replica = &learner.replica;
    read_weights(&path.join(MODEL), replica.tensors(&replica.parameters, &replica.running))?;
    if let Some(ema) = &learner.ema {
        // Its statistics and frozen tensors are those of the model.
        read_weights(&path.join(EMA), replica.tensors(ema, &replica.running))?;
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
