//! Draws networks of a space until one lies within the limits.

use regatta_random::SplitMix64;

use super::Space;
use super::error::SpaceError;
use super::limits::Limits;
use crate::network::Network;
use crate::random::Purpose;
use crate::validation::{MAX_IMAGE_PX, check_count};

/// Number of networks drawn in search of one within the limits, before the window is considered empty.
///
/// In the paper's spaces, one network in 40 to 60 has the 360 to 400 million multiply-adds of its first study; this many tries
/// take about five seconds, and almost certainly find a network that is one in 10,000.
pub const DEFAULT_MAX_TRIES: u64 = 100_000;

/// Images and classes that the networks are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// Number of channels of an image.
    pub channels: i64,
    /// Number of classes.
    pub classes: i64,
    /// Height and width of an image in pixels.
    pub side: i64,
}

/// Draws networks of a space within limits, from a seed.
///
/// Spaces with the same seed use the same random numbers: RegNetX and RegNetY then have the same networks except for
/// squeeze-and-excitation. Use different seeds for independent samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampler {
    space: Space,
    input: Input,
    limits: Limits,
    seed: u64,
    max_tries: u64,
}

impl Sampler {
    /// Returns a sampler of networks of `space` for `input` within `limits`, with [`DEFAULT_MAX_TRIES`] for each.
    ///
    /// # Errors
    /// A window that no network can lie in, or an input that is not valid for any network.
    pub fn new(space: Space, input: Input, limits: Limits, seed: u64) -> Result<Self, SpaceError> {
        limits.validate()?;
        // Otherwise the error for a larger side would be about the width of a fully connected network.
        check_count("image side", input.side, MAX_IMAGE_PX)?;
        // All networks of a space accept the same inputs, so any of them can be used to check the input.
        let probe = space.draw(input, &mut SplitMix64::new(0))?;
        probe.summary(1, input.side, input.side)?;
        Ok(Self { space, input, limits, seed, max_tries: DEFAULT_MAX_TRIES })
    }

    /// Replaces the maximum number of networks drawn in search of one within the limits.
    ///
    /// # Errors
    /// If it is 0.
    pub fn with_max_tries(self, max_tries: u64) -> Result<Self, SpaceError> {
        if max_tries == 0 {
            return Err(SpaceError::NoTries);
        }
        Ok(Self { max_tries, ..self })
    }

    /// Returns network number `index`, which depends only on space, input, limits, seed and index, and is valid
    /// ([`Network::validate`]). Different numbers may have equal networks.
    ///
    /// # Errors
    /// If no network within the limits was found.
    pub fn network(&self, index: u64) -> Result<Network, SpaceError> {
        let mut random = Purpose::Network.stream(&[self.seed, index]);
        let mut tallies = self.limits.tallies();
        for _ in 0..self.max_tries {
            let network = self.space.draw(self.input, &mut random)?;
            let summary = network.summary(1, self.input.side, self.input.side)?;
            // Count every network in every window, so that the error can say which of them was missed.
            let within = tallies.iter_mut().map(|tally| tally.admit(&summary));
            let misses = within.filter(|is_within| !is_within).count();
            if misses == 0 {
                return Ok(network);
            }
        }
        Err(SpaceError::EmptyWindow { space: self.space, tries: self.max_tries, tallies })
    }

    /// Returns an infinite iterator over networks 0, 1, 2, ...
    pub fn networks(&self) -> impl Iterator<Item = Result<Network, SpaceError>> + '_ {
        (0..).map(|index| self.network(index))
    }
}
