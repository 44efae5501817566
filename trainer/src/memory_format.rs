//! The memory format that is faster for the network on this machine: RegNets gain by channels_last on some and lose by it on
//! others.

use anyhow::Result;
use regatta_comm::Communicator;
use regatta_settings::{MemoryFormat, Recipe};
use tch::Device;

use crate::timing::{Timing, seconds_on_rank_0};

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
    let with = |format| {
        let mut recipe = recipe.clone();
        recipe.train.memory_format = format;
        recipe
    };
    let formats = [MemoryFormat::ChannelsLast, MemoryFormat::Contiguous].map(with);
    Ok(Choice::of(seconds_on_rank_0(formats, FORMATS, device, world)?))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faster_format_is_taken() {
        assert_eq!(Choice::of([0.1, 0.2]).format, MemoryFormat::ChannelsLast);
        assert_eq!(Choice::of([0.2, 0.1]).format, MemoryFormat::Contiguous);
    }
}
