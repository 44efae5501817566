//! The space of fully connected networks, the counterpart of AnyNetXA: a depth and a width for each stage.

use regatta_random::SplitMix64;

use super::anynet::WIDTH;
use super::distribution::LogUniformMultiples;
use super::sampler::Input;
use crate::network::{BlockKind, Network, Stage, Stem};

const STAGES: usize = 4;
/// Much less than the AnyNets' 16: there are no shortcuts, and four stages of 16 layers would be too deep to train.
const DEPTH: LogUniformMultiples = LogUniformMultiples::new(1, 1, 4);

/// Draws a network for images of `input`.
pub(super) fn draw(input: Input, random: &mut SplitMix64) -> Network {
    let depths = [(); STAGES].map(|()| DEPTH.draw(random));
    let stages = depths.into_iter().map(|depth| Stage::plain(depth, WIDTH.draw(random), 1)).collect();
    Network {
        in_channels: input.channels,
        stem: Stem::Flatten,
        stem_width: input.channels.saturating_mul(input.side).saturating_mul(input.side),
        block: BlockKind::Mlp,
        ..Network::of_stages(stages, input.classes)
    }
}
