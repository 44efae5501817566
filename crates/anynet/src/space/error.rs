//! What makes a space, its limits or its input impossible, said with what would be right.

use super::Space;
use super::limits::{Quantity, Tally};
use crate::table::with_thousands;
use crate::validation::NetworkError;

/// Why there is no sampler or no network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpaceError {
    /// A name that no space has.
    #[error("space is {name:?}, must be one of {}", Space::ALL.map(Space::name).join(", "))]
    UnknownSpace {
        /// The name.
        name: String,
    },

    /// A window whose ends are the wrong way round.
    #[error(
        "limits.{quantity} is from {low} to {high}, must be from the smaller to the larger: from {high} to {low}"
    )]
    InvertedWindow {
        /// What is limited.
        quantity: Quantity,
        /// Where the window begins.
        low: u64,
        /// Where it ends.
        high: u64,
    },

    /// A window that holds nothing but 0.
    #[error("limits.{quantity} is from 0 to 0, must reach above 0: no network has 0 {quantity}")]
    ZeroWindow {
        /// What is limited.
        quantity: Quantity,
    },

    /// No try at all.
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
        /// Networks drawn.
        tries: u64,
        /// The limits and what was seen of each.
        tallies: Vec<Tally>,
    },

    /// An input that no network of the space takes.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// `flops from 1 to 2 and params from 3 to 4`.
fn windows(tallies: &[Tally]) -> String {
    let window = |tally: &Tally| (tally.quantity, *tally.window.start(), *tally.window.end());
    let clauses: Vec<String> = tallies.iter().map(|tally| clause(window(tally))).collect();
    clauses.join(" and ")
}

/// `flops from 1,234 to 5,678 (none of them within)`.
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
