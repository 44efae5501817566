//! Measures the throughput of the recipe's steps on images that are already on the device: the upper limit with an ideal loader.

use std::io::stdin;
use std::time::Instant;

use anyhow::Result;
use regatta_comm::{Launch, World};
use regatta_run_folder::{StepRate, print_output};
use regatta_settings::{Recipe, RecipeArgs};
use tch::Device;

use crate::average::Position;
use crate::control::Requests;
use crate::debug::Inspector;
use crate::failure::together;
use crate::feed::Feed;
use crate::memory::peak_device_mib;
use crate::replica::Replica;
use crate::step::{LaunchedStep, Learner, StepSource};
use crate::timing::random_micro_batch;
use crate::{automatic, device};

/// Untimed steps first, in which cuDNN tries its algorithms and a GPU's step is recorded.
const WARM_UP: usize = 10;

/// Measures `steps` steps of the recipe on one micro-batch of random images. With `in_turn`, repeats that for each line of rank
/// 0's standard input, and prints a line of JSON each time. A collective.
///
/// # Errors
/// An invalid recipe, failed collectives and device errors.
pub(super) fn measure(
    args: &RecipeArgs,
    steps: usize,
    in_turn: bool,
    device: Device,
    launch: &Launch,
    world: &World,
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
    // The average is updated as often as the recipe says, in an epoch without end.
    let mut at = Position { epoch: 0, step_in_epoch: 0, steps_per_epoch: u64::MAX };
    let mut step = || {
        let lr = recipe.optim.lr;
        let mut launched = learner.step(0..micro_batches, images, lr, Requests::default(), &mut source)?;
        learner.update_average(&mut launched, at)?;
        at.step_in_epoch += 1;
        Ok(launched)
    };
    step()?.pending.outcome()?;
    let seconds_to_first_step = begin.elapsed().as_secs_f64();
    run_steps(WARM_UP, &mut step)?;
    let global_images = (micro_batches * recipe.train.micro_batch_size * world.world_size()) as f64;
    let mut rate = || -> Result<StepRate> {
        let seconds = seconds_per_step(steps, device, world, &mut step)?;
        Ok(StepRate {
            images_per_second: global_images / seconds,
            milliseconds: 1e3 * seconds,
            seconds_to_first_step,
            precision: device::recipe_value(&recipe.train.precision),
            memory_format: device::recipe_value(&recipe.train.memory_format),
            peak_device_mib: peak_device_mib(device)?,
        })
    };
    let mut last = rate()?;
    while in_turn && next_round_requested(world)? {
        last = rate()?;
        if world.rank() == 0 {
            print_output(serde_json::to_string(&last)?)?;
        }
    }
    Ok(last)
}

/// Returns whether rank 0 has read another line of its standard input. A collective.
fn next_round_requested(world: &World) -> Result<bool> {
    let read = if world.rank() == 0 { stdin().read_line(&mut String::new()) } else { Ok(0) };
    let bytes = together(read.map_err(Into::into), world)?;
    Ok(world.share(bytes > 0)?)
}

/// Times `steps` steps of all ranks, from idle devices to idle devices.
fn seconds_per_step(
    steps: usize,
    device: Device,
    world: &World,
    step: &mut impl FnMut() -> Result<LaunchedStep>,
) -> Result<f64> {
    device::wait_for(device)?;
    world.barrier();
    let begin = Instant::now();
    run_steps(steps, step)?;
    device::wait_for(device)?;
    world.barrier();
    Ok(begin.elapsed().as_secs_f64() / steps as f64)
}

/// Runs the steps as training does: reads a step's outcome after the next one is launched.
fn run_steps(steps: usize, step: &mut impl FnMut() -> Result<LaunchedStep>) -> Result<()> {
    let mut before: Option<LaunchedStep> = None;
    for _ in 0..steps {
        if let Some(before) = before.replace(step()?) {
            before.pending.outcome()?;
        }
    }
    Ok(())
}
