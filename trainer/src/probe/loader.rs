//! Measures how fast the ranks assemble the recipe's images on the host.

use std::time::{Duration, Instant};

use anyhow::Result;
use regatta_comm::World;
use regatta_data::{Sampler, Scratch, Split};
use regatta_settings::{Recipe, RecipeArgs};

use crate::batches;
use crate::datasets::Datasets;
use crate::failure::together;

/// Duration of the measurement.
const DURATION: Duration = Duration::from_secs(1);

/// Returns the images per second of all ranks together, each assembling its own micro-batches. A collective.
///
/// # Errors
/// An invalid recipe, data that cannot be read.
pub(super) fn images_per_second(args: &RecipeArgs, world: &World) -> Result<f64> {
    let recipe = || -> Result<Recipe> { Ok(args.load()?.resolve(world.world_size(), None)?) };
    let recipe = together(recipe(), world)?;
    let datasets = together(Datasets::open(&recipe), world)?;
    let train = batches::images(&recipe, &*datasets.train, Split::Train);
    let sampler = Sampler {
        len: datasets.train.len(),
        global_batch_size: recipe.train.global_batch_size,
        micro_batch_size: recipe.train.micro_batch_size,
        seed: recipe.train.seed,
        drop_last: recipe.train.drop_last,
    };
    let permutation = sampler.permutation(world.rank() as u64)?;
    let (mut images, mut scratch) = (Vec::new(), Scratch::default());
    world.barrier();
    let (begin, mut count) = (Instant::now(), 0);
    for indices in permutation.chunks(recipe.train.micro_batch_size).cycle() {
        images.resize(indices.len() * train.shape().bytes(), 0);
        train.read_all(0, indices, &mut scratch, &mut images)?;
        count += indices.len();
        if begin.elapsed() > DURATION {
            break;
        }
    }
    let rate = count as f64 / begin.elapsed().as_secs_f64();
    Ok(world.gather(&rate)?.into_iter().sum())
}
