//! Design spaces: populations of networks to draw from (Radosavovic et al. 2020, sections 3.2 to 3.4).
//!
//! A [`Sampler`] draws networks of a [`Space`] within [`Limits`] of complexity; [`crate::edf`] compares spaces by the errors of
//! trained networks.
//!
//! ```
//! use regatta_anynet::space::{Input, Limits, Sampler, Space};
//!
//! let input = Input { channels: 3, classes: 1000, side: 224 };
//! let limits = Limits { flops: Some(360_000_000..=400_000_000), ..Limits::default() };
//! let sampler = Sampler::new(Space::AnyNetXE, input, limits, 1)?;
//! let first = sampler.network(0)?;
//! assert!(first.stages.is_sorted_by_key(|stage| stage.width));
//! # Ok::<(), regatta_anynet::space::SpaceError>(())
//! ```

use std::fmt;
use std::str::FromStr;

use regatta_random::SplitMix64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::generator::Generator;
use crate::network::{Network, Stage};
use crate::validation::NetworkError;

mod sampler;

mod replacement;

mod limits;

mod anynet;

mod regnet;

mod mlp;

pub mod distribution;

mod error;

pub use error::SpaceError;
pub use limits::{Limits, Quantity, Tally};
pub use regnet::draw_parameters as draw_regnet_parameters;
pub use sampler::{DEFAULT_MAX_TRIES, Drawn, Input, Sampler};

/// A population of networks with a probability distribution.
///
/// The AnyNets have a simple stem of width 32 and four stages of stride 2. Before anything is shared or ordered, each
/// stage has a depth of 1 to 16 (log-uniform), a width of 8 to 1024 in multiples of 8 (log-uniform), an inverse
/// bottleneck ratio of 1, 2 or 4 (the paper's b, which divides: [`crate::Stage::bottleneck_ratio`] is 1/b) and a group
/// width of 1, 2, 4, 8, 16 or 32.
///
/// A stage is then adjusted as in pycls ([`crate::Rounding::Pycls`]): the group width is at most the bottleneck width, which is a
/// multiple of it. The properties of a space hold for the networks after that adjustment:
/// - a *shared group width* g means that each stage's group width is the smaller of g and its bottleneck's width;
/// - *not decreasing* refers to the adjusted widths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Space {
    /// Nothing shared, nothing ordered.
    #[serde(rename = "anynet_x_a")]
    AnyNetXA,
    /// AnyNetXA with one bottleneck ratio for all stages.
    #[serde(rename = "anynet_x_b")]
    AnyNetXB,
    /// AnyNetXB with one group width for all stages.
    #[serde(rename = "anynet_x_c")]
    AnyNetXC,
    /// AnyNetXC with widths that do not decrease from stage to stage.
    #[serde(rename = "anynet_x_d")]
    AnyNetXD,
    /// AnyNetXD with depths that do not decrease from stage to stage.
    #[serde(rename = "anynet_x_e")]
    AnyNetXE,
    /// Four stages from the RegNet rule, see [`draw_regnet_parameters`].
    #[serde(rename = "regnet_x")]
    RegNetX,
    /// RegNetX with a squeeze-and-excitation ratio of 0.25.
    #[serde(rename = "regnet_y")]
    RegNetY,
    /// AnyNetXE, but with widths that never increase and decrease at least once.
    #[serde(rename = "vio_widths")]
    VioWidths,
    /// AnyNetXE, but with depths that never increase and decrease at least once.
    #[serde(rename = "vio_depths")]
    VioDepths,
    /// AnyNetXE, but with a separate group width for each stage, such that no shared one gives the same network.
    #[serde(rename = "vio_groups")]
    VioGroups,
    /// AnyNetXE, but with a separate bottleneck ratio for each stage, of which at least two differ.
    #[serde(rename = "vio_bottlenecks")]
    VioBottlenecks,
    /// Fully connected networks: a flattening stem, then four stages of 1 to 4 layers (log-uniform) with a width of 8 to 1024
    /// in multiples of 8 (log-uniform).
    #[serde(rename = "mlp")]
    Mlp,
}

impl Space {
    /// Every space, in the paper's order.
    pub const ALL: [Space; 12] = [
        Space::AnyNetXA,
        Space::AnyNetXB,
        Space::AnyNetXC,
        Space::AnyNetXD,
        Space::AnyNetXE,
        Space::RegNetX,
        Space::RegNetY,
        Space::VioWidths,
        Space::VioDepths,
        Space::VioGroups,
        Space::VioBottlenecks,
        Space::Mlp,
    ];

    /// Returns the name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Space::AnyNetXA => "anynet_x_a",
            Space::AnyNetXB => "anynet_x_b",
            Space::AnyNetXC => "anynet_x_c",
            Space::AnyNetXD => "anynet_x_d",
            Space::AnyNetXE => "anynet_x_e",
            Space::RegNetX => "regnet_x",
            Space::RegNetY => "regnet_y",
            Space::VioWidths => "vio_widths",
            Space::VioDepths => "vio_depths",
            Space::VioGroups => "vio_groups",
            Space::VioBottlenecks => "vio_bottlenecks",
            Space::Mlp => "mlp",
        }
    }

    /// Draws a network for `input`, of any complexity, with the parameters of the RegNet rule if it comes from that.
    fn draw(
        self,
        input: Input,
        random: &mut SplitMix64,
    ) -> Result<(Network, Option<Generator>), NetworkError> {
        let stages = match self {
            Space::AnyNetXA => anynet::A.draw(random)?,
            Space::AnyNetXB => anynet::B.draw(random)?,
            Space::AnyNetXC => anynet::C.draw(random)?,
            Space::AnyNetXD => anynet::D.draw(random)?,
            Space::AnyNetXE => anynet::E.draw(random)?,
            Space::VioWidths => anynet::VIO_WIDTHS.draw(random)?,
            Space::VioDepths => anynet::VIO_DEPTHS.draw(random)?,
            Space::VioGroups => anynet::VIO_GROUPS.draw(random)?,
            Space::VioBottlenecks => anynet::VIO_BOTTLENECKS.draw(random)?,
            Space::RegNetX => return regnet::draw_network(input, random, 0.0),
            Space::RegNetY => return regnet::draw_network(input, random, regnet::Y_SE_RATIO),
            Space::Mlp => return Ok((mlp::draw(input, random), None)),
        };
        Ok((input.network(stages), None))
    }
}

impl Input {
    /// Returns the network with the spaces' stem and X or Y blocks.
    fn network(self, stages: Vec<Stage>) -> Network {
        Network { in_channels: self.channels, ..Network::of_stages(stages, self.classes) }
    }
}

impl FromStr for Space {
    type Err = SpaceError;

    fn from_str(name: &str) -> Result<Self, SpaceError> {
        let space = Space::ALL.into_iter().find(|space| space.name() == name);
        space.ok_or_else(|| SpaceError::UnknownSpace { name: name.to_owned() })
    }
}

impl fmt::Display for Space {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
