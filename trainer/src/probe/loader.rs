//! Measures how fast the ranks load the recipe's images on the host.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use regatta_comm::{Launch, World};
use regatta_data::{BatchRequest, Images, Loader, Split};
use regatta_settings::{Recipe, RecipeArgs};
use tch::Device;

use crate::datasets::Datasets;
use crate::failure::together;
use crate::image_order::sampler;
use crate::{device, input};

/// Returns the images per second of all ranks together, each loading micro-batches of a split with its threads for `duration`,
/// after the first. A collective.
///
/// # Errors
/// An invalid recipe, data that cannot be read.
pub(super) fn images_per_second(
    args: &RecipeArgs,
    split: Split,
    duration: Duration,
    device: Device,
    launch: &Launch,
    world: &World,
) -> Result<f64> {
    let recipe = || -> Result<Recipe> { Ok(args.load()?.resolve(world.world_size(), None)?) };
    let recipe = together(recipe(), world)?;
    let datasets = Datasets::open(&recipe, world)?;
    let images = Arc::new(input::images(&recipe, Arc::clone(datasets.of(split)), split));
    let permutation = sampler(&recipe, datasets.of(split).len()).permutation(world.rank() as u64)?;
    let cores = device::prepare(&recipe.train, device, launch, world)?;
    let settings = input::loader_settings(&recipe, cores, device);
    let mut loader = Loader::new(settings).context("cannot start the loader's threads")?;
    let mut micro_batches = permutation.chunks(recipe.train.micro_batch_size).cycle();
    world.barrier();
    for _ in 0..settings.prefetch_batches {
        submit(&mut loader, &images, micro_batches.next(), Vec::new());
    }
    let first = loader.next_batch()?;
    submit(&mut loader, &images, micro_batches.next(), first.map_or_else(Vec::new, |loaded| loaded.chunks));
    let (begin, mut count) = (Instant::now(), 0);
    while begin.elapsed() <= duration
        && let Some(loaded) = loader.next_batch()?
    {
        count += loaded.labelled.len();
        submit(&mut loader, &images, micro_batches.next(), loaded.chunks);
    }
    let rate = count as f64 / begin.elapsed().as_secs_f64();
    Ok(world.gather(&rate)?.into_iter().sum())
}

/// Submits a micro-batch in the memory of an earlier one.
fn submit(
    loader: &mut Loader<Vec<u8>>,
    images: &Arc<Images>,
    indices: Option<&[usize]>,
    mut chunks: Vec<Vec<u8>>,
) {
    let indices = indices.unwrap_or_default().to_vec();
    chunks.resize_with(indices.len(), || vec![0; images.shape().bytes()]);
    loader.submit(BatchRequest { images: Arc::clone(images), epoch: 0, indices, chunks });
}
