//! Errors of a space, its limits or its input, with the accepted values.

use super::Space;
use super::limits::{Quantity, Tally};
use crate::network::BlockKind;
use crate::table::with_thousands;
use crate::validation::NetworkError;

/// An error of creating a sampler or drawing a network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpaceError {
    /// An unknown name of a space.
    #[error("space is {name:?}, must be one of {}", Space::ALL.map(Space::name).join(", "))]
    UnknownSpace {
        /// The name.
        name: String,
    },

    /// A window whose ends are swapped.
    #[error(
        "limits.{quantity} is from {low} to {high}, must be from the smaller to the larger: from {high} to {low}"
    )]
    InvertedWindow {
        /// The limited quantity.
        quantity: Quantity,
        /// The window's lower end.
        low: u64,
        /// Its upper end.
        high: u64,
    },

    /// A window that contains only 0.
    #[error("limits.{quantity} is from 0 to 0, must reach above 0: no network has 0 {}", quantity.counted())]
    ZeroWindow {
        /// The limited quantity.
        quantity: Quantity,
    },

    /// A kind of block that cannot replace the space's.
    #[error("block is {}, must be resnext, resnet_basic or vanilla: {space} has blocks of convolutions", block.name())]
    FullyConnectedBlock {
        /// The space.
        space: Space,
        /// The kind of block.
        block: BlockKind,
    },

    /// A flattening stem for blocks of convolutions.
    #[error("stem is flatten, must be simple, resnet or cifar: {space} has blocks of convolutions")]
    FlatteningStem {
        /// The space.
        space: Space,
    },

    /// A key of networks with convolutions, in the space of fully connected networks.
    #[error("{key} must be left out: the networks of {} are fully connected", Space::Mlp)]
    FullyConnectedSpace {
        /// The key.
        key: &'static str,
    },

    /// A maximum of 0 tries.
    #[error("max_tries is 0, must be at least 1")]
    NoTries,

    /// No network of the space was within the limits.
    #[error(
        "no network of {space} has {} in {} tries: those drawn had {}",
        windows(tallies), with_thousands(*tries), seen(tallies)
    )]
    EmptyWindow {
        /// The space.
        space: Space,
        /// Number of networks drawn.
        tries: u64,
        /// The limits and the values seen for each.
        tallies: Vec<Tally>,
    },

    /// An input that is not valid for any network of the space.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// Formats the limits as `flops from 1 to 2 and params from 3 to 4`.
fn windows(tallies: &[Tally]) -> String {
    let window = |tally: &Tally| (tally.quantity, *tally.window.start(), *tally.window.end());
    let clauses: Vec<String> = tallies.iter().map(|tally| clause(window(tally))).collect();
    clauses.join(" and ")
}

/// Formats the values seen as `flops from 1,234 to 5,678 (none of them within)`.
fn seen(tallies: &[Tally]) -> String {
    let range = |tally: &Tally| {
        let (low, high) = tally.seen.unwrap_or_default();
        let within = if tally.within == 0 { "none".to_owned() } else { with_thousands(tally.within) };
        format!("{} ({within} of them within)", clause((tally.quantity, low, high)))
    };
    tallies.iter().map(range).collect::<Vec<_>>().join(" and ")
}

fn clause((quantity, low, high): (Quantity, u64, u64)) -> String {
    format!("{quantity} from {} to {}", with_thousands(low), with_thousands(high))
}
