//! The memory format that is faster for the network on this machine: RegNets gain by channels_last on some and lose by it on
//! others.

use std::time::Instant;

use anyhow::Result;
use regatta_comm::Communicator;
use regatta_model::Mode;
use regatta_settings::{MemoryFormat, Recipe};
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

/// Of the memory formats.
const FORMATS: Timing = Timing { images: usize::MAX, warm_up: 3, timed: 4 };

/// A choice by timing, and what it came from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Choice {
    /// The faster format.
    pub(crate) format: MemoryFormat,
    /// Seconds of a micro-batch forward and backward, in channels_last and contiguous.
    pub(crate) seconds: [f64; 2],
}

/// Rank 0 times both on its device, the others take what it chose. A collective.
pub(crate) fn choose(recipe: &Recipe, device: Device, world: &dyn Communicator) -> Result<Choice> {
    let mut bytes = [0; 16];
    if world.rank() == 0 {
        let of = |format| {
            let mut recipe = recipe.clone();
            recipe.train.memory_format = format;
            seconds_of_a_micro_batch(&recipe, device, FORMATS)
        };
        let seconds = [of(MemoryFormat::ChannelsLast)?, of(MemoryFormat::Contiguous)?];
        for (place, value) in bytes.chunks_mut(8).zip(seconds) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }
    world.broadcast(&mut bytes);
    let number = |at: usize| f64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    Ok(Choice::of([number(0), number(8)]))
}

impl Choice {
    fn of(seconds: [f64; 2]) -> Self {
        let [channels_last, contiguous] = seconds;
        let is_faster = channels_last <= contiguous;
        Self {
            format: if is_faster { MemoryFormat::ChannelsLast } else { MemoryFormat::Contiguous },
            seconds,
        }
    }
}

/// Forward and backward, with the recipe's precision and memory format.
pub(crate) fn seconds_of_a_micro_batch(recipe: &Recipe, device: Device, timing: Timing) -> Result<f64> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faster_format_is_taken() {
        assert_eq!(Choice::of([0.1, 0.2]).format, MemoryFormat::ChannelsLast);
        assert_eq!(Choice::of([0.2, 0.1]).format, MemoryFormat::Contiguous);
    }
}
