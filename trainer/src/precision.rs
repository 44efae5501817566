//! The element type of forward and backward where the recipe leaves it open.

use anyhow::Result;
use regatta_comm::Communicator;
use regatta_settings::{MemoryFormat, Precision, Recipe};
use tch::Device;

use crate::timing::{Timing, seconds_on_rank_0};

/// bf16 costs digits: a CPU takes it only where it is at least so many times as fast as fp32.
const WORTH_IT: f64 = 1.3;
/// A look, not a measurement: a start is to take seconds.
const LOOK: Timing = Timing { images: 16, warm_up: 1, timed: 2 };

/// A choice by timing, and what it came from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Choice {
    /// What is taken.
    pub(crate) precision: Precision,
    /// Seconds of a micro-batch forward and backward in fp32 and in bf16, where both were timed.
    pub(crate) seconds: Option<[f64; 2]>,
}

impl Choice {
    /// Without timing.
    fn plain(precision: Precision) -> Self {
        Self { precision, seconds: None }
    }

    fn of(seconds: [f64; 2]) -> Self {
        let [fp32, bf16] = seconds;
        let precision = if fp32 >= WORTH_IT * bf16 { Precision::Bf16 } else { Precision::Fp32 };
        Self { precision, seconds: Some(seconds) }
    }
}

/// bf16 on a GPU. On CPUs fp32, unless every rank's processor computes in bf16 (elsewhere it is emulated and several times
/// slower) and rank 0 finds that it is worth it; a deterministic run does not go by the clock. A collective.
pub(crate) fn choose(recipe: &Recipe, device: Device, world: &dyn Communicator) -> Result<Choice> {
    if device != Device::Cpu {
        return Ok(Choice::plain(Precision::Bf16));
    }
    let mut ranks_with_bf16 = [i64::from(processor_has_bf16())];
    world.all_reduce_counts(&mut ranks_with_bf16);
    if ranks_with_bf16 != [world.world_size() as i64] || recipe.train.deterministic {
        return Ok(Choice::plain(Precision::Fp32));
    }
    let with = |precision| {
        let mut recipe = recipe.clone();
        recipe.train.precision = precision;
        if recipe.train.memory_format == MemoryFormat::Auto {
            recipe.train.memory_format = MemoryFormat::ChannelsLast;
        }
        recipe
    };
    let precisions = [Precision::Fp32, Precision::Bf16].map(with);
    Ok(Choice::of(seconds_on_rank_0(precisions, LOOK, device, world)?))
}

#[cfg(target_arch = "x86_64")]
fn processor_has_bf16() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
fn processor_has_bf16() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_is_taken_where_it_is_worth_its_digits() {
        let check = |seconds, expected| assert_eq!(Choice::of(seconds).precision, expected, "{seconds:?}");
        check([2.0, 1.0], Precision::Bf16);
        check([1.3, 1.0], Precision::Bf16);
        check([1.29, 1.0], Precision::Fp32);
        check([1.0, 2.0], Precision::Fp32);
    }
}
