//! The AnyNetX spaces, and those that violate one of their design principles: shared and ordered parameters.

use std::array;

use regatta_random::SplitMix64;

use super::distribution::{LogUniformMultiples, PowersOfTwo, choice};
use crate::generator::{Rounding, compatible};
use crate::network::Stage;
use crate::validation::NetworkError;

const STAGES: usize = 4;
const STAGE_STRIDE: i64 = 2;
const DEPTH: LogUniformMultiples = LogUniformMultiples::new(1, 1, 16);
/// Output channels of a stage's blocks.
pub(super) const WIDTH: LogUniformMultiples = LogUniformMultiples::new(8, 8, 1024);
/// The paper's b: ratio of block width to bottleneck width.
pub(super) const INVERSE_BOTTLENECKS: [i64; 3] = [1, 2, 4];
/// Channels per group, 1 to 32.
pub(super) const GROUP_WIDTH: PowersOfTwo = PowersOfTwo { lowest_exponent: 0, highest_exponent: 5 };

/// Relations between the stages of a network.
#[derive(Clone, Copy)]
pub(super) struct Principles {
    bottlenecks: Sharing,
    groups: Sharing,
    widths: Order,
    depths: Order,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// Each stage has its own value.
    Free,
    /// All stages have the same value.
    Shared,
    /// Each stage has its own value, and at least two differ.
    Differing,
}

#[derive(Clone, Copy)]
enum Order {
    Free,
    NotDecreasing,
    /// Never increasing, and decreasing at least once.
    Decreasing,
}

pub(super) const A: Principles = Principles {
    bottlenecks: Sharing::Free,
    groups: Sharing::Free,
    widths: Order::Free,
    depths: Order::Free,
};
pub(super) const B: Principles = Principles { bottlenecks: Sharing::Shared, ..A };
pub(super) const C: Principles = Principles { groups: Sharing::Shared, ..B };
pub(super) const D: Principles = Principles { widths: Order::NotDecreasing, ..C };
pub(super) const E: Principles = Principles { depths: Order::NotDecreasing, ..D };
pub(super) const VIO_WIDTHS: Principles = Principles { widths: Order::Decreasing, ..E };
pub(super) const VIO_DEPTHS: Principles = Principles { depths: Order::Decreasing, ..E };
pub(super) const VIO_GROUPS: Principles = Principles { groups: Sharing::Differing, ..E };
pub(super) const VIO_BOTTLENECKS: Principles = Principles { bottlenecks: Sharing::Differing, ..E };

impl Principles {
    /// Draws the stages of one network.
    ///
    /// Orders are obtained by rejection, not by sorting: sorting would make a profile with equal values less likely than
    /// in the paper's distribution, since fewer draws sort to it. Depths are independent of the other parameters and are
    /// redrawn separately; so are widths, so that every shared ratio and group width stays equally likely, however often it
    /// violates the order.
    pub(super) fn draw(&self, random: &mut SplitMix64) -> Result<Vec<Stage>, NetworkError> {
        let bottlenecks = self.bottlenecks.draw(random, |random| choice(&INVERSE_BOTTLENECKS, random));
        let group_widths = self.groups.draw(random, |random| GROUP_WIDTH.draw(random));
        let depths = self.draw_depths(random);
        // Even in the rarest case, group widths that fit few widths, one draw of widths in hundreds is accepted.
        loop {
            let stage = |index: usize, width| Stage {
                group_width: group_widths[index],
                bottleneck_ratio: 1.0 / bottlenecks[index] as f64,
                ..Stage::plain(depths[index], width, STAGE_STRIDE)
            };
            let drawn = (0..STAGES).map(|index| stage(index, WIDTH.draw(random)));
            let buildable = drawn.enumerate().map(|(index, it)| compatible(index + 1, it, Rounding::Pycls));
            let stages = buildable.collect::<Result<Vec<_>, _>>()?;
            if self.admit(&stages) {
                return Ok(stages);
            }
        }
    }

    fn draw_depths(&self, random: &mut SplitMix64) -> [i64; STAGES] {
        loop {
            let depths = array::from_fn(|_| DEPTH.draw(random));
            if self.depths.holds(&depths) {
                return depths;
            }
        }
    }

    /// Returns whether the adjusted widths are in order, and the group widths still differ if they must.
    fn admit(&self, stages: &[Stage]) -> bool {
        let widths: Vec<i64> = stages.iter().map(|stage| stage.width).collect();
        self.widths.holds(&widths) && (self.groups != Sharing::Differing || !shares_group_width(stages))
    }
}

impl Sharing {
    fn draw(self, random: &mut SplitMix64, one: impl Fn(&mut SplitMix64) -> i64) -> [i64; STAGES] {
        if self == Sharing::Shared {
            return [one(random); STAGES];
        }
        loop {
            let values: [i64; STAGES] = array::from_fn(|_| one(random));
            if self == Sharing::Free || values.iter().any(|value| *value != values[0]) {
                return values;
            }
        }
    }
}

impl Order {
    fn holds(self, values: &[i64]) -> bool {
        let rises = values.windows(2).any(|pair| pair[0] < pair[1]);
        let falls = values.windows(2).any(|pair| pair[0] > pair[1]);
        match self {
            Order::Free => true,
            Order::NotDecreasing => !falls,
            Order::Decreasing => falls && !rises,
        }
    }
}

/// Returns whether a single group width, limited to the bottleneck of each stage, gives the group widths of all stages. If
/// there is one, the largest of the stages' is.
fn shares_group_width(stages: &[Stage]) -> bool {
    let widest = stages.iter().map(|stage| stage.group_width).max().unwrap_or(1);
    stages.iter().all(|stage| stage.group_width == widest.min(stage.bottleneck_width()))
}
