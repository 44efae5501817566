//! The job to plan: the recipe resolved for the whole cluster, its device, and the length of training.

use anyhow::{Context, Result};
use regatta_settings::{Backend, Device, GradientCompression, Precision, Recipe, TrainSettings};

use super::measured::Run;
use super::options::PlanCommand;
use super::scaling::{Span, Training};
use crate::failure::Usage;

/// Resolves the recipe for the whole cluster; smaller sizes use the same micro-batches.
///
/// # Errors
/// If the recipe is invalid for this number of ranks, or compresses gradients that are summed over MPI.
pub(crate) fn resolved(command: &PlanCommand, run: Option<&Run>) -> Result<Recipe> {
    let kept = run.map(|run| &run.recipe);
    let mut recipe = command.recipe.load()?.resolve(command.gpus(), kept).with_context(|| command.world())?;
    // Use the precision that "auto" chose in the measured run.
    if let (Some(kept), Precision::Auto) = (kept, recipe.train.precision) {
        recipe.train.precision = kept.train.precision;
    }
    let compresses = recipe.comm.gradient_compression != GradientCompression::None;
    if compresses && !sums_during_backward(&recipe) {
        let problem = "comm.gradient_compression is for ranks that sum over NCCL, and these sum over MPI: set it to \"none\", \
                       or plan for GPUs with train.device = \"cuda\"";
        return Err(Usage(problem.to_owned()).into());
    }
    Ok(recipe)
}

/// Whether ranks have a GPU each; `auto` is assumed to find them.
pub(crate) fn computes_on_gpus(recipe: &Recipe) -> bool {
    recipe.train.device != Device::Cpu && recipe.comm.backend != Backend::Mpi
}

/// Whether NCCL sums the buckets, which overlaps with backward.
pub(crate) fn sums_during_backward(recipe: &Recipe) -> bool {
    computes_on_gpus(recipe) || recipe.comm.backend == Backend::Nccl
}

/// The length of training.
///
/// # Errors
/// If the number of images is unknown, or an epoch would have no step.
pub(crate) fn training(command: &PlanCommand, recipe: &Recipe) -> Result<Training> {
    let of_run = recipe.data.limit_train_images.or(command.train_images).or(recipe.data.train_images());
    let images = of_run.ok_or_else(|| {
        Usage(
            "the data set's size is in its files: give the number of training images as --train-images"
                .to_owned(),
        )
    })?;
    let TrainSettings { global_batch_size, max_steps, .. } = recipe.train;
    let steps_of_epoch = recipe.steps_per_epoch(images);
    if steps_of_epoch == 0 {
        let problem = format!(
            "train.drop_last = true leaves no step of {images} images in batches of {global_batch_size}: give a --train-images \
             of at least {global_batch_size}"
        );
        return Err(Usage(problem).into());
    }
    Ok(Training { images, global_batch_size, steps_of_epoch, spans: spans(recipe)?, max_steps })
}

/// The sizes of the training images from epoch to epoch.
///
/// # Errors
/// An image too small for the network.
fn spans(recipe: &Recipe) -> Result<Vec<Span>> {
    let network = recipe.network();
    let multiply_adds =
        |px: u32| -> Result<f64> { Ok(network.summary(1, px.into(), px.into())?.flops as f64) };
    let largest = multiply_adds(recipe.data.resolution_px)?;
    let sizes: Vec<_> = (0..recipe.train.epochs).map(|epoch| recipe.data.resolution_px_in(epoch)).collect();
    let span = |sizes: &[u32]| {
        let work = multiply_adds(sizes[0])? / largest;
        Ok(Span { px: sizes[0], epochs: sizes.len() as u64, work })
    };
    sizes.chunk_by(u32::eq).map(span).collect()
}
