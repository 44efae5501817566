//! Draws networks of a space until one lies within the limits.

use regatta_random::SplitMix64;

use super::Space;
use super::error::SpaceError;
use super::limits::Limits;
use super::replacement::Replacement;
use crate::complexity::Summary;
use crate::generator::Generator;
use crate::network::{BlockKind, Network, Stem};
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

/// A network drawn from a space.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// The network.
    pub network: Network,
    /// The parameters from which the RegNet rule derives the stages, with pycls's rounding, in a space of RegNets. A replaced
    /// block keeps only their depths and widths.
    pub generator: Option<Generator>,
    /// The network's layers and complexity for one image.
    pub summary: Summary,
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
    replacement: Replacement,
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
        let replacement = Replacement::default();
        Self { space, input, limits, seed, max_tries: DEFAULT_MAX_TRIES, replacement }.checked()
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

    /// Replaces the kind of block of each network that is drawn, so that kinds of block can be compared at equal complexity:
    /// stages keep depth, width and stride, and limits apply to the network with the replaced blocks. Groups, bottleneck and
    /// squeeze-and-excitation are lost with blocks that have none; [`BlockKind::Resnext`] leaves the networks as they are.
    ///
    /// # Errors
    /// Fully connected blocks, or a space of them.
    pub fn with_block(self, block: BlockKind) -> Result<Self, SpaceError> {
        let replacement = self.replacement.with_block(self.space, block)?;
        Self { replacement, ..self }.checked()
    }

    /// Replaces the stem of each network that is drawn and, if given, its width (32 otherwise). Small images need a narrow stem,
    /// or one without stride, for networks of few multiply-adds.
    ///
    /// # Errors
    /// A flattening stem, a width out of range, or a space of fully connected networks.
    pub fn with_stem(self, stem: Stem, stem_width: Option<i64>) -> Result<Self, SpaceError> {
        let replacement = self.replacement.with_stem(self.space, stem, stem_width)?;
        Self { replacement, ..self }.checked()
    }

    /// Returns the sampler if its networks can be built. All networks of a space accept the same inputs and stems, so any of
    /// them can be used for the check.
    fn checked(self) -> Result<Self, SpaceError> {
        self.draw_unlimited(&mut SplitMix64::new(0))?;
        Ok(self)
    }

    /// Returns network number `index`, which depends only on space, input, limits, seed, replacements and index,
    /// and is valid ([`Network::validate`]). Different numbers may have equal networks.
    ///
    /// # Errors
    /// If no network within the limits was found.
    pub fn network(&self, index: u64) -> Result<Network, SpaceError> {
        Ok(self.draw(index)?.network)
    }

    /// Returns network number `index`, as [`Sampler::network`], with its complexity and the parameters that it is made of.
    ///
    /// # Errors
    /// If no network within the limits was found.
    pub fn draw(&self, index: u64) -> Result<Drawn, SpaceError> {
        let mut random = Purpose::Network.stream(&[self.seed, index]);
        let mut tallies = self.limits.tallies();
        for _ in 0..self.max_tries {
            let drawn = self.draw_unlimited(&mut random)?;
            // Count every network in every window, so that the error can say which of them was missed.
            let within = tallies.iter_mut().map(|tally| tally.admit(&drawn));
            let misses = within.filter(|is_within| !is_within).count();
            if misses == 0 {
                return Ok(drawn);
            }
        }
        Err(SpaceError::EmptyWindow { space: self.space, tries: self.max_tries, tallies })
    }

    /// Draws a network of any complexity.
    fn draw_unlimited(&self, random: &mut SplitMix64) -> Result<Drawn, SpaceError> {
        let (network, generator) = self.space.draw(self.input, random)?;
        let network = self.replacement.apply(network);
        let summary = network.summary(1, self.input.side, self.input.side)?;
        Ok(Drawn { network, generator, summary })
    }

    /// Returns an infinite iterator over networks 0, 1, 2, ...
    pub fn networks(&self) -> impl Iterator<Item = Result<Network, SpaceError>> + '_ {
        (0..).map(|index| self.network(index))
    }
}
