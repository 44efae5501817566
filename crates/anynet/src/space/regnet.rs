//! The RegNet spaces: six numbers, from which the RegNet rule derives four stages.

use regatta_random::SplitMix64;

use super::anynet::{GROUP_WIDTH, INVERSE_BOTTLENECKS};
use super::distribution::{LogUniform, LogUniformMultiples, UniformIntegers, choice};
use super::sampler::Input;
use crate::generator::{Generator, Rounding};
use crate::network::Network;
use crate::validation::NetworkError;

/// Ratio of squeeze-and-excitation width to a block's input channels in RegNetY.
pub(super) const Y_SE_RATIO: f64 = 0.25;
const STAGES: i64 = 4;
/// The paper's d < 64; there must be at least as many blocks as stages.
const DEPTH: UniformIntegers = UniformIntegers { low: STAGES, high: 63 };
/// The paper's w0 < 256, in multiples of the width's quantum.
const W0: LogUniformMultiples = LogUniformMultiples::new(8, 8, 248);
/// The paper's wa < 256; pycls starts at 8.
const WA: LogUniform = LogUniform { low: 8.0, high: 256.0 };
const WM: LogUniform = LogUniform { low: 1.5, high: 3.0 };

/// Draws a network for images of `input`, with the parameters that it is made of.
pub(super) fn draw_network(
    input: Input,
    random: &mut SplitMix64,
    se_ratio: f64,
) -> Result<(Network, Option<Generator>), NetworkError> {
    let generator = draw(random, se_ratio);
    let stages = generator.stages(Rounding::Pycls)?;
    Ok((input.network(stages), Some(generator)))
}

/// Draws parameters that give four stages.
///
/// Bottleneck ratio and group width do not affect the number of stages, so their distribution is unchanged.
fn draw(random: &mut SplitMix64, se_ratio: f64) -> Generator {
    // One draw in six is accepted.
    loop {
        let generator = draw_parameters(random, se_ratio);
        if stages_without_gaps(&generator) == Some(STAGES) {
            return generator;
        }
    }
}

/// Draws parameters of a RegNet with any number of stages, from the ranges of section 3.3 of the paper and, where it does not
/// specify the distribution, with that of pycls's `regnet_sampler`.
///
/// Depth is uniform in 4 to 63; w0 (multiples of 8 from 8 to 248), wa (8 to 256) and wm (1.5 to 3) are log-uniform;
/// the inverse bottleneck ratio is 1, 2 or 4 and the group width a power of two from 1 to 32. The RegNet spaces accept only
/// draws that give four stages, as in the paper's networks, and that skip no power of wm between the first and the last
/// (pycls's `check_regnet_constraints`).
pub fn draw_parameters(random: &mut SplitMix64, se_ratio: f64) -> Generator {
    Generator {
        depth: DEPTH.draw(random),
        w0: W0.draw(random),
        wa: WA.draw(random),
        wm: WM.draw(random),
        group_width: GROUP_WIDTH.draw(random),
        bottleneck_ratio: 1.0 / choice(&INVERSE_BOTTLENECKS, random) as f64,
        se_ratio,
    }
}

/// Returns the number of stages, if every power of wm up to that of the last block gives one.
fn stages_without_gaps(generator: &Generator) -> Option<i64> {
    let powers: Vec<i64> = generator.powers().map(|power| power as i64).collect();
    let has_gap = powers.windows(2).any(|pair| pair[1] - pair[0] > 1);
    powers.last().filter(|_| !has_gap).map(|last| last + 1)
}
