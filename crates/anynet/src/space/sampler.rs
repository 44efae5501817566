//! Draws networks of a space until one lies within the limits.

use regatta_random::SplitMix64;

use super::Space;
use super::error::SpaceError;
use super::limits::Limits;
use crate::network::Network;
use crate::random::Purpose;
use crate::validation::{MAX_IMAGE_PX, check_count};

/// Networks that are drawn for one within the limits before the window counts as empty.
///
/// Of the paper's spaces one in 40 to 60 has the 360 to 400 million multiply-adds of its first study; this many tries
/// take some five seconds, and find one in 10,000 all but surely.
pub const DEFAULT_MAX_TRIES: u64 = 100_000;

/// What the networks look at and what they tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// Channels of an image.
    pub channels: i64,
    /// Classes of images.
    pub classes: i64,
    /// Height and width of an image in pixels.
    pub side: i64,
}

/// A space within limits, with the seed that names its networks.
///
/// Spaces draw from the same numbers where their seed is the same: RegNetX and RegNetY then have the same networks but
/// for the squeeze. Samples that are to be independent take different seeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampler {
    space: Space,
    input: Input,
    limits: Limits,
    seed: u64,
    max_tries: u64,
}

impl Sampler {
    /// Networks of `space` for `input` within `limits`, with [`DEFAULT_MAX_TRIES`] for each.
    ///
    /// # Errors
    /// A window that no network can lie in, or an input that no network takes.
    pub fn new(space: Space, input: Input, limits: Limits, seed: u64) -> Result<Self, SpaceError> {
        limits.validate()?;
        // A side beyond that would be told of as the width of a fully connected network.
        check_count("image side", input.side, MAX_IMAGE_PX)?;
        // All networks of a space take the same inputs, so that any of them finds an impossible one.
        let probe = space.draw(input, &mut SplitMix64::new(0))?;
        probe.summary(1, input.side, input.side)?;
        Ok(Self { space, input, limits, seed, max_tries: DEFAULT_MAX_TRIES })
    }

    /// The same with another bound on the networks drawn for one within the limits.
    ///
    /// # Errors
    /// If the bound is 0.
    pub fn with_max_tries(self, max_tries: u64) -> Result<Self, SpaceError> {
        if max_tries == 0 {
            return Err(SpaceError::NoTries);
        }
        Ok(Self { max_tries, ..self })
    }

    /// Network number `index`, a function of space, input, limits, seed and index alone; it passes
    /// [`Network::validate`]. Different numbers may have equal networks.
    ///
    /// # Errors
    /// If none was within the limits.
    pub fn network(&self, index: u64) -> Result<Network, SpaceError> {
        let mut random = Purpose::Network.stream(&[self.seed, index]);
        let mut tallies = self.limits.tallies();
        for _ in 0..self.max_tries {
            let network = self.space.draw(self.input, &mut random)?;
            let summary = network.summary(1, self.input.side, self.input.side)?;
            // Every window is told of every network, so that the error can say which of them was missed.
            let within = tallies.iter_mut().map(|tally| tally.admit(&summary));
            let misses = within.filter(|is_within| !is_within).count();
            if misses == 0 {
                return Ok(network);
            }
        }
        Err(SpaceError::EmptyWindow { space: self.space, tries: self.max_tries, tallies })
    }

    /// Networks 0, 1, 2, ... without end.
    pub fn networks(&self) -> impl Iterator<Item = Result<Network, SpaceError>> + '_ {
        (0..).map(|index| self.network(index))
    }
}
