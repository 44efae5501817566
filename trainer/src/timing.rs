//! How long a micro-batch takes forward and backward, for choices that the recipe leaves open.

use std::time::Instant;

use anyhow::Result;
use regatta_comm::Communicator;
use regatta_model::Mode;
use regatta_settings::Recipe;
use tch::{Device, Kind, Tensor};

use crate::device::wait_for;
use crate::replica::{Replica, host_value, memory_format, summed_loss};

/// What is timed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Images of a micro-batch, at most: those of the recipe where it has fewer.
    pub(crate) images: usize,
    /// Micro-batches before the timed ones; cuDNN tries its algorithms in them.
    pub(crate) warm_up: usize,
    /// Micro-batches that are timed.
    pub(crate) timed: usize,
}

/// Seconds of a micro-batch by each of two recipes: rank 0 times them on its device, and all ranks get what it measured. A
/// collective.
pub(crate) fn seconds_on_rank_0(
    recipes: [Recipe; 2],
    timing: Timing,
    device: Device,
    world: &dyn Communicator,
) -> Result<[f64; 2]> {
    let mut bytes = [0; 16];
    if world.rank() == 0 {
        for (place, recipe) in bytes.chunks_mut(8).zip(&recipes) {
            place.copy_from_slice(&seconds_of_a_micro_batch(recipe, device, timing)?.to_le_bytes());
        }
    }
    world.broadcast(&mut bytes);
    let number = |at: usize| f64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    Ok([number(0), number(8)])
}

/// Forward and backward, with the recipe's precision and memory format.
fn seconds_of_a_micro_batch(recipe: &Recipe, device: Device, timing: Timing) -> Result<f64> {
    let replica = Replica::new(recipe, device)?;
    let images = recipe.train.micro_batch_size.min(timing.images) as i64;
    let side = i64::from(recipe.data.resolution_px);
    let network = recipe.network();
    let shape = [images, network.in_channels, side, side];
    let images_nchw = Tensor::zeros(shape, (replica.parameters.flat.kind(), device));
    let images_nchw = memory_format(recipe).of(&images_nchw);
    let labels = Tensor::zeros([images], (Kind::Int64, device));
    let mut begin = Instant::now();
    for number in 0..timing.warm_up + timing.timed {
        if number == timing.warm_up {
            wait_for(device)?;
            begin = Instant::now();
        }
        let logits = replica.logits(&replica.model, &images_nchw, Mode::Training)?;
        let loss = summed_loss(&logits, &labels, 0.0);
        loss.backward();
        if device == Device::Cpu {
            host_value(&loss.detach());
        }
    }
    wait_for(device)?;
    Ok(begin.elapsed().as_secs_f64() / timing.timed as f64)
}
