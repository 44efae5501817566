//! The sweep file: which networks to draw, how to train them and how to start them.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use regatta_anynet::BlockKind;
use regatta_anynet::space::{Limits, Space};
use serde::{Deserialize, Serialize};

use crate::sampler::KeySampler;
use crate::search::Method;

mod check;

mod place;

use place::{describe, line_at, line_of};

/// Largest size of a sweep file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A sweep as its file describes it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepFile {
    /// Whether every network is trained to its end ("study"), or bad ones are stopped early ("search").
    pub mode: Mode,
    /// The recipe that all networks share, relative to the sweep file.
    pub recipe: PathBuf,
    /// Keys of the recipe that all networks share, as `section.key=value`, over those in the recipe.
    #[serde(default)]
    pub set: Vec<String>,
    /// Folder that gets the sweep's own folder.
    #[serde(default = "sweeps")]
    pub folder: PathBuf,
    /// Number of networks drawn from each space.
    pub samples: u64,
    /// Seed from which networks are drawn.
    #[serde(default)]
    pub seed: u64,
    /// Number of training seeds of a network: the recipe's `train.seed` and the numbers after it.
    #[serde(default = "one")]
    pub seeds_per_sample: u64,
    /// Number of networks of each space that are trained with all seeds; the others are trained with the first one. Default: all.
    #[serde(default)]
    pub samples_with_all_seeds: Option<u64>,
    /// Limits of complexity that every network keeps.
    #[serde(default)]
    pub limits: LimitsSection,
    /// The spaces that are compared.
    #[serde(rename = "space")]
    pub spaces: Vec<SpaceSection>,
    /// How a search stops networks early.
    #[serde(default)]
    pub search: Option<SearchSection>,
    /// How runs are started.
    #[serde(default)]
    pub start: StartSection,
}

/// What a sweep is for. The two are kept apart, since stopping bad networks early censors the distribution of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Compares spaces: every network is trained to the end of the same budget.
    Study,
    /// Finds a good network: budgets grow for those that do well.
    Search,
}

/// Limits of complexity, each a list of the smallest and the largest value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsSection {
    /// Multiply-adds of one image.
    #[serde(default)]
    pub flops: Option<[u64; 2]>,
    /// Trainable parameters.
    #[serde(default)]
    pub params: Option<[u64; 2]>,
    /// Outputs of convolutions and classifier, of one image.
    #[serde(default)]
    pub activations: Option<[u64; 2]>,
    /// Number of blocks of the body.
    #[serde(default)]
    pub depth: Option<[u64; 2]>,
}

/// One of the spaces that a sweep compares.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceSection {
    /// Name in results and figures. Default: that of `draw`.
    #[serde(default)]
    pub name: Option<String>,
    /// The design space that networks are drawn from. Default: unset, the recipe names the network.
    #[serde(default)]
    pub draw: Option<Space>,
    /// Kind of block that replaces that of the drawn networks.
    #[serde(default)]
    pub block: Option<BlockKind>,
    /// Keys of the recipe that this space's networks share, as `section.key=value`.
    #[serde(default)]
    pub set: Vec<String>,
    /// Keys of the recipe that are drawn for each network, with their distributions.
    #[serde(default)]
    pub sample: KeySampler,
    /// Number of networks, in place of the sweep's.
    #[serde(default)]
    pub samples: Option<u64>,
    /// Limits of complexity, in place of the sweep's.
    #[serde(default)]
    pub limits: Option<LimitsSection>,
}

/// `[search]`: how networks are stopped early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchSection {
    /// The method.
    pub method: Method,
    /// One network in so many is promoted to a budget so many times as large.
    #[serde(default = "three")]
    pub reduction: u64,
    /// Smallest budget, in epochs. The largest one is the recipe's `train.epochs`.
    #[serde(default = "one")]
    pub min_epochs: u64,
}

/// `[start]`: how runs are started. It may change from one start to the next.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartSection {
    /// Ranks of each run.
    #[serde(default = "one_rank")]
    pub ranks: usize,
    /// Number of runs at once on a host. Default: its GPUs, or its cores, divided by the ranks.
    #[serde(default)]
    pub slots: Option<usize>,
    /// How often a failed run is restarted from its newest checkpoint before it counts as failed.
    #[serde(default = "one_restart")]
    pub max_restarts: usize,
    /// Whether a run's folder is removed once its result is recorded.
    #[serde(default)]
    pub prune: bool,
}

impl Default for StartSection {
    fn default() -> Self {
        Self { ranks: 1, slots: None, max_restarts: 1, prune: false }
    }
}

fn sweeps() -> PathBuf {
    "sweeps".into()
}

fn one() -> u64 {
    1
}

fn three() -> u64 {
    3
}

fn one_rank() -> usize {
    1
}

fn one_restart() -> usize {
    1
}

/// An error of a sweep file, with its place, the key and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read.
    #[error("cannot read the sweep file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The path is not a regular file, or too large for one.
    #[error("cannot read the sweep file {}: it is {found}; a sweep file is a text file", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: String,
    },
    /// Something in the file.
    #[error("{}:{line}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The key, the value and what would be right.
        problem: String,
    },
}

impl SweepFile {
    /// Reads and checks the sweep file at `path`.
    ///
    /// # Errors
    /// A file that cannot be read, is not TOML, has unknown keys or wrong types, or values that contradict each other.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Read { path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        let no_file = |found: &str| FileError::NoFile { path: path.to_owned(), found: found.to_owned() };
        if !metadata.is_file() {
            return Err(no_file(if metadata.is_dir() { "a folder" } else { "a pipe, a socket or a device" }));
        }
        if metadata.len() > MAX_BYTES {
            return Err(no_file("larger than 1 MiB"));
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        let text = String::from_utf8(bytes).map_err(|_| no_file("not UTF-8"))?;
        Self::parse(path, &text)
    }

    /// Parses and checks `text`, the content of the file `path`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        let content = |line, problem: String| FileError::Content { path: path.to_owned(), line, problem };
        let file: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_at(text, &span));
            content(line, describe(error.message(), text.lines().nth(line - 1).unwrap_or_default()))
        })?;
        file.check().map_err(|(key, problem)| content(line_of(text, &key), problem))?;
        Ok(file)
    }

    /// Returns the name of each space.
    pub fn names(&self) -> Vec<String> {
        self.spaces.iter().map(SpaceSection::name).collect()
    }

    /// Returns the number of networks of a space.
    pub fn samples_of(&self, space: usize) -> u64 {
        self.spaces[space].samples.unwrap_or(self.samples)
    }

    /// Returns the number of training seeds of a network.
    pub fn seeds_of(&self, sample: u64) -> u64 {
        if sample < self.samples_with_all_seeds.unwrap_or(u64::MAX) { self.seeds_per_sample } else { 1 }
    }

    /// Returns what differs from an earlier version of the same sweep and would make its results incomparable with new ones, if
    /// anything does: the numbers of networks and of seeds, further spaces at the end and the rest of `[start]` may change.
    pub fn difference_from(&self, earlier: &Self) -> Option<&'static str> {
        let kept = earlier.spaces.len();
        let same_spaces = self.spaces.len() >= kept && {
            let without_samples = |it: &SpaceSection| SpaceSection { samples: None, ..it.clone() };
            self.spaces[..kept].iter().map(without_samples).eq(earlier.spaces.iter().map(without_samples))
        };
        let differences = [
            (self.mode != earlier.mode, "mode"),
            (self.set != earlier.set, "set"),
            (self.seed != earlier.seed, "seed"),
            (self.limits != earlier.limits, "limits"),
            (!same_spaces, "space"),
            (self.search != earlier.search, "search"),
            (self.start.ranks != earlier.start.ranks, "start.ranks"),
        ];
        differences.into_iter().find_map(|(differs, key)| differs.then_some(key))
    }
}

impl LimitsSection {
    fn windows(&self) -> impl Iterator<Item = (&'static str, [u64; 2])> {
        let all = [
            ("flops", self.flops),
            ("params", self.params),
            ("activations", self.activations),
            ("depth", self.depth),
        ];
        all.into_iter().filter_map(|(name, window)| Some((name, window?)))
    }

    /// Returns them as those of a sampler.
    pub fn limits(&self) -> Limits {
        let range = |window: Option<[u64; 2]>| -> Option<RangeInclusive<u64>> {
            window.map(|[low, high]| low..=high)
        };
        Limits {
            flops: range(self.flops),
            params: range(self.params),
            activations: range(self.activations),
            depth: range(self.depth),
        }
    }
}

impl SpaceSection {
    /// Returns the name in results and figures.
    pub fn name(&self) -> String {
        let drawn = || self.draw.map(|space| space.name().to_owned());
        self.name.clone().or_else(drawn).unwrap_or_default()
    }

    /// Returns the name as the first part of its trials' names: lower-case letters, digits and underscores.
    pub fn slug(&self) -> String {
        let name = self.name();
        let plain =
            name.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
        plain.collect()
    }
}
