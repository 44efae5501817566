//! How fast ranks take the recipe's steps on images that lie on the device: what a loader that never keeps them waiting allows.

use std::time::Instant;

use anyhow::Result;
use regatta_comm::{Communicator, Launch};
use regatta_settings::{Recipe, RecipeArgs};
use serde::Serialize;
use tch::Device;

use crate::control::Asked;
use crate::debug::Inspector;
use crate::failure::together;
use crate::feed::Feed;
use crate::memory::peak_device_mib;
use crate::replica::Replica;
use crate::step::{LaunchedStep, Learner, StepSource};
use crate::timing::random_micro_batch;
use crate::{automatic, device};

/// Steps before the timed ones; cuDNN tries its algorithms in them, and a GPU's step is recorded.
const WARM_UP: usize = 10;

/// The rate of whole steps, sums over ranks and update included.
#[derive(Debug, Serialize)]
pub(super) struct StepRate {
    pub(super) images_per_second: f64,
    pub(super) milliseconds: f64,
    /// From the first allocation to the end of the first step.
    seconds_to_first_step: f64,
    precision: String,
    memory_format: String,
    peak_device_mib: Option<f64>,
}

/// Takes `steps` steps of the recipe over one micro-batch of random images. A collective.
pub(super) fn measure(
    args: &RecipeArgs,
    steps: usize,
    device: Device,
    launch: &Launch,
    world: &dyn Communicator,
) -> Result<StepRate> {
    let recipe = || -> Result<Recipe> { Ok(args.load()?.resolve(world.world_size(), None)?) };
    let mut recipe = together(recipe(), world)?;
    device::prepare(&recipe.train, device, launch, world)?;
    _ = automatic::choose(&mut recipe, None, device, world)?;
    let begin = Instant::now();
    let mut learner = Learner::new(&recipe, Replica::new(&recipe, device)?, world)?;
    let (images_nchw, labels) = random_micro_batch(&recipe, recipe.train.micro_batch_size, device);
    let feed = Feed::resident(images_nchw, labels);
    let mut source = StepSource { feed, inspector: Inspector { enabled: false } };
    let images = recipe.train.global_batch_size;
    let micro_batches = images / recipe.train.micro_batch_size / world.world_size();
    let mut step = || learner.step(0..micro_batches, images, recipe.optim.lr, Asked::default(), &mut source);
    step()?.reading.outcome()?;
    let seconds_to_first_step = begin.elapsed().as_secs_f64();
    one_ahead(WARM_UP, &mut step)?;
    device::wait_for(device)?;
    world.barrier();
    let begin = Instant::now();
    one_ahead(steps, &mut step)?;
    device::wait_for(device)?;
    world.barrier();
    let seconds = begin.elapsed().as_secs_f64() / steps as f64;
    Ok(StepRate {
        images_per_second: (micro_batches * recipe.train.micro_batch_size * world.world_size()) as f64
            / seconds,
        milliseconds: 1e3 * seconds,
        seconds_to_first_step,
        precision: device::word(&recipe.train.precision),
        memory_format: device::word(&recipe.train.memory_format),
        peak_device_mib: peak_device_mib(device)?,
    })
}

/// As a run does it: a step's outcome is read when the next one is launched.
fn one_ahead(steps: usize, step: &mut impl FnMut() -> Result<LaunchedStep>) -> Result<()> {
    let mut before: Option<LaunchedStep> = None;
    for _ in 0..steps {
        if let Some(before) = before.replace(step()?) {
            before.reading.outcome()?;
        }
    }
    Ok(())
}
