//! Limits of a network's complexity, and the complexity of the networks drawn.

use std::fmt;
use std::ops::RangeInclusive;

use super::error::SpaceError;
use super::sampler::Drawn;

/// Windows of complexity, ends included; a network must lie in all of them. The default has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Multiply-adds of one image.
    pub flops: Option<RangeInclusive<u64>>,
    /// Trainable parameters.
    pub params: Option<RangeInclusive<u64>>,
    /// Outputs of all convolutions and of the classifier, of one image.
    pub activations: Option<RangeInclusive<u64>>,
    /// Blocks of the body.
    pub depth: Option<RangeInclusive<u64>>,
}

/// A measure of complexity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Multiply-adds.
    Flops,
    /// Trainable parameters.
    Params,
    /// Outputs of convolutions and classifier.
    Activations,
    /// Blocks of the body.
    Depth,
}

/// A window, with the range of the networks drawn for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The limited quantity.
    pub quantity: Quantity,
    /// The window.
    pub window: RangeInclusive<u64>,
    /// The smallest and the largest value seen.
    pub seen: Option<(u64, u64)>,
    /// Number of networks inside the window.
    pub within: u64,
}

impl Limits {
    pub(super) fn validate(&self) -> Result<(), SpaceError> {
        for Tally { quantity, window, .. } in self.tallies() {
            let (low, high) = window.into_inner();
            if low > high {
                return Err(SpaceError::InvertedWindow { quantity, low, high });
            }
            if high == 0 {
                return Err(SpaceError::ZeroWindow { quantity });
            }
        }
        Ok(())
    }

    /// Returns empty tallies of the windows.
    pub(super) fn tallies(&self) -> Vec<Tally> {
        let windows = [
            (Quantity::Flops, &self.flops),
            (Quantity::Params, &self.params),
            (Quantity::Activations, &self.activations),
            (Quantity::Depth, &self.depth),
        ];
        let given = windows.into_iter().filter_map(|(quantity, window)| Some((quantity, window.clone()?)));
        given.map(|(quantity, window)| Tally { quantity, window, seen: None, within: 0 }).collect()
    }
}

impl Tally {
    /// Counts a network and returns whether it lies in the window.
    pub(super) fn admit(&mut self, drawn: &Drawn) -> bool {
        let value = self.quantity.of(drawn);
        let (low, high) = self.seen.unwrap_or((value, value));
        self.seen = Some((low.min(value), high.max(value)));
        let is_within = self.window.contains(&value);
        self.within += u64::from(is_within);
        is_within
    }
}

impl Quantity {
    fn of(self, drawn: &Drawn) -> u64 {
        match self {
            Quantity::Flops => drawn.summary.flops,
            Quantity::Params => drawn.summary.params,
            Quantity::Activations => drawn.summary.activations,
            Quantity::Depth => drawn.network.stages.iter().map(|stage| stage.depth as u64).sum(),
        }
    }

    /// Returns what is counted, in the plural.
    pub(super) fn counted(self) -> &'static str {
        if self == Quantity::Depth { "blocks" } else { self.name() }
    }

    fn name(self) -> &'static str {
        match self {
            Quantity::Flops => "flops",
            Quantity::Params => "params",
            Quantity::Activations => "activations",
            Quantity::Depth => "depth",
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
