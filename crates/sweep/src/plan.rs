//! The trials of a sweep: their names, their order, and the recipe and network of each.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use regatta_anynet::space::{Drawn, Input, Sampler, Space, SpaceError};
use regatta_anynet::{BlockKind, Generator, Network, NetworkError, SplitMix64, Stage, Stem};
use regatta_settings::{Recipe, RecipeError, load};
use toml::{Table, Value};

use crate::file::{Mode, SpaceSection, SweepFile};
use crate::random::Purpose;
use crate::search::{Search, SearchError};

/// A network with which a space's recipe is resolved before one is drawn.
const ANY_STAGES: &str = "model.anynet.stages=[{ depth = 1, width = 8, group_width = 8 }]";

/// The trials of a sweep.
#[derive(Clone, Debug)]
pub struct Plan {
    file: SweepFile,
    recipe: PathBuf,
    /// Environment variables that the recipe is read with.
    variables: Vec<(OsString, OsString)>,
    spaces: Vec<PlannedSpace>,
}

/// What all networks of a space share.
#[derive(Clone, Debug)]
struct PlannedSpace {
    /// Draws the networks; none if the recipe names them.
    sampler: Option<Sampler>,
    sampling_seed: u64,
    /// `train.epochs`.
    epochs: u64,
    /// `train.seed`.
    first_seed: u64,
}

/// A trial: one network of one space with one training seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trial {
    /// Number of the space in the sweep file.
    pub space: usize,
    /// Number of the network in its space.
    pub sample: u64,
    /// Number of the training seed.
    pub seed: u64,
}

/// A trial with everything needed to train it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Its name.
    pub id: String,
    /// Seed from which the space's networks are drawn.
    pub sampling_seed: u64,
    /// Keys of the recipe that it sets, with their values in TOML, in the order in which they are applied.
    pub set: Vec<(String, String)>,
    /// Parameters of the RegNet rule that the network was made by, if it was.
    pub generator: Option<Generator>,
    /// What was drawn for keys of the recipe.
    pub drawn: BTreeMap<String, serde_json::Value>,
    /// The recipe, resolved.
    pub recipe: Recipe,
}

/// An error of preparing a trial.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The recipe of a space.
    #[error("the recipe of the space {space:?}")]
    Recipe {
        /// The space's name.
        space: String,
        /// The error.
        source: Box<RecipeError>,
    },
    /// A space that no network can be drawn from.
    #[error("the space {space:?}")]
    Space {
        /// The space's name.
        space: String,
        /// The error.
        source: SpaceError,
    },
    /// A network whose complexity cannot be counted.
    #[error("the network of {id}")]
    Network {
        /// The trial's name.
        id: String,
        /// The error.
        source: NetworkError,
    },
    /// A recipe that ends a run before its last epoch.
    #[error(
        "train.max_steps is set in the recipe of a sweep, which would end every run before its last epoch: leave it out"
    )]
    MaxSteps,
    /// A search that cannot be.
    #[error("[search]")]
    Search(#[source] SearchError),
}

impl Plan {
    /// Plans the trials of `file` with the recipe at `recipe`, read with the environment `variables`.
    ///
    /// # Errors
    /// A recipe that is invalid or names a network where one is drawn, and a space without networks for its images or limits.
    pub fn new(
        file: &SweepFile,
        recipe: PathBuf,
        variables: Vec<(OsString, OsString)>,
    ) -> Result<Self, PlanError> {
        let mut plan = Self { file: file.clone(), recipe, variables, spaces: Vec::new() };
        for section in &file.spaces {
            let space = plan.space(section)?;
            plan.spaces.push(space);
        }
        if let Some(search) = plan.search() {
            search.validate().map_err(PlanError::Search)?;
        }
        Ok(plan)
    }

    /// Prepares the first network of each space, so that a space without networks within its limits is found before any is
    /// trained.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn check(&self) -> Result<(), PlanError> {
        let first = |space| self.prepare(Trial { space, sample: 0, seed: 0 }, self.epochs(space)).map(|_| ());
        (0..self.spaces.len()).try_for_each(first)
    }

    /// Returns the sweep file.
    pub fn file(&self) -> &SweepFile {
        &self.file
    }

    /// Returns the trials of a study in the order in which they are trained: all spaces in turn, so that they can be compared
    /// early, and further seeds last. In a search, those that it may start.
    pub fn trials(&self) -> Vec<Trial> {
        let spaces = 0..self.spaces.len();
        let most = spaces.clone().map(|space| self.file.samples_of(space)).max().unwrap_or(0);
        let mut trials = Vec::new();
        for seed in 0..self.file.seeds_per_sample {
            for sample in (0..most).filter(|&sample| seed < self.file.seeds_of(sample)) {
                let with_sample = spaces.clone().filter(|&space| sample < self.file.samples_of(space));
                trials.extend(with_sample.map(|space| Trial { space, sample, seed }));
            }
        }
        trials
    }

    /// Returns the search, if this is one.
    pub fn search(&self) -> Option<Search> {
        let section = self.file.search.filter(|_| self.file.mode == Mode::Search)?;
        Some(Search {
            method: section.method,
            reduction: section.reduction,
            min_epochs: section.min_epochs,
            max_epochs: self.epochs(0),
            samples: self.file.samples_of(0),
        })
    }

    /// Returns the epochs that a space's networks are trained for, in a search at most.
    pub fn epochs(&self, space: usize) -> u64 {
        self.spaces[space].epochs
    }

    /// Returns the name of a trial: the space's, the number of the network and, unless it is the first, that of the seed.
    pub fn id(&self, trial: Trial) -> String {
        let slug = self.file.spaces[trial.space].slug();
        let id = format!("{slug}-{:03}", trial.sample);
        if trial.seed == 0 { id } else { format!("{id}-s{}", trial.seed) }
    }

    /// Returns the trial with this name.
    pub fn find(&self, id: &str) -> Option<Trial> {
        self.trials().into_iter().find(|&trial| self.id(trial) == id)
    }

    /// Draws a trial's network and resolves its recipe for runs of `start.ranks` ranks that are trained for `epochs`.
    ///
    /// # Errors
    /// If no network within the limits is found, or its recipe is invalid.
    pub fn prepare(&self, trial: Trial, epochs: u64) -> Result<Prepared, PlanError> {
        let (section, space) = (&self.file.spaces[trial.space], &self.spaces[trial.space]);
        let failed = |source| PlanError::Space { space: section.name(), source };
        let network = space.sampler.as_ref().map(|sampler| sampler.draw(trial.sample).map_err(failed));
        let network = network.transpose()?;
        let drawn = section.sample.draw(space.sampling_seed, trial.sample);
        let mut set = self.shared_set(section);
        set.extend(network.iter().flat_map(|network| network_keys(&network.network)));
        set.extend(drawn.iter().map(|(key, value)| (key.clone(), value.to_string())));
        set.push(("train.seed".into(), (space.first_seed + trial.seed).to_string()));
        if self.file.mode == Mode::Search {
            set.push(("schedule.epochs".into(), space.epochs.to_string()));
        }
        set.push(("train.epochs".into(), epochs.to_string()));
        let recipe = self.resolve(section, &set)?;
        let json = |value: &Value| serde_json::to_value(value).unwrap_or_default();
        Ok(Prepared {
            id: self.id(trial),
            sampling_seed: space.sampling_seed,
            set,
            generator: network.and_then(|Drawn { generator, .. }| generator),
            drawn: drawn.iter().map(|(key, value)| (key.clone(), json(value))).collect(),
            recipe,
        })
    }

    fn space(&self, section: &SpaceSection) -> Result<PlannedSpace, PlanError> {
        let mut set = self.shared_set(section);
        if section.draw.is_some() {
            set.push(pair(ANY_STAGES));
        }
        if section.draw == Some(Space::Mlp) {
            set.push(("model.anynet.block".into(), "\"mlp\"".into()));
        }
        let recipe = self.resolve(section, &set)?;
        if recipe.train.max_steps.is_some() {
            return Err(PlanError::MaxSteps);
        }
        let sampling_seed = sampling_seed(self.file.seed, &section.slug());
        let failed = |source| PlanError::Space { space: section.name(), source };
        let sampler =
            section.draw.map(|space| self.sampler(space, section, &recipe, sampling_seed).map_err(failed));
        Ok(PlannedSpace {
            sampler: sampler.transpose()?,
            sampling_seed,
            epochs: recipe.train.epochs,
            first_seed: recipe.train.seed,
        })
    }

    fn sampler(
        &self,
        space: Space,
        section: &SpaceSection,
        recipe: &Recipe,
        seed: u64,
    ) -> Result<Sampler, SpaceError> {
        let input = Input {
            channels: recipe.model.in_channels.into(),
            classes: recipe.model.classes.into(),
            side: recipe.data.resolution_px.into(),
        };
        let limits = section.limits.unwrap_or(self.file.limits).limits();
        let mut sampler = Sampler::new(space, input, limits, seed)?;
        if recipe.model.stem != Stem::Flatten {
            sampler = sampler.with_stem(recipe.model.stem, recipe.model.stem_width.map(i64::from))?;
        }
        match section.block {
            Some(block) => sampler.with_block(block),
            None => Ok(sampler),
        }
    }

    /// The keys that the sweep and the space set, in the order in which they are applied.
    fn shared_set(&self, section: &SpaceSection) -> Vec<(String, String)> {
        self.file.set.iter().chain(&section.set).map(|option| pair(option)).collect()
    }

    fn resolve(&self, section: &SpaceSection, set: &[(String, String)]) -> Result<Recipe, PlanError> {
        let failed = |source| PlanError::Recipe { space: section.name(), source: Box::new(source) };
        let raw = load(&self.recipe, self.variables.iter().cloned(), &options(set)).map_err(failed)?;
        raw.resolve(self.file.start.ranks, None).map_err(failed)
    }
}

impl Prepared {
    /// Returns the network.
    pub fn network(&self) -> Network {
        self.recipe.network()
    }

    /// Returns the keys as values of `--set`.
    pub fn options(&self) -> Vec<String> {
        options(&self.set)
    }
}

/// Returns keys with their values as values of `--set`.
fn options(set: &[(String, String)]) -> Vec<String> {
    set.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// Splits `section.key=value`. Text without `=` gets an empty value, so that the recipe's reader reports it.
fn pair(option: &str) -> (String, String) {
    let (key, value) = option.split_once('=').unwrap_or((option, ""));
    (key.trim().to_owned(), value.trim().to_owned())
}

/// Returns the keys of the recipe that specify a network's body.
fn network_keys(network: &Network) -> Vec<(String, String)> {
    let stages: Vec<Value> =
        network.stages.iter().map(|stage| Value::Table(stage_keys(stage, network.block))).collect();
    let block = Value::try_from(network.block).expect("a name");
    vec![
        ("model.anynet.block".into(), block.to_string()),
        ("model.anynet.stages".into(), Value::Array(stages).to_string()),
    ]
}

fn stage_keys(stage: &Stage, block: BlockKind) -> Table {
    let mut keys = Table::new();
    for (key, value) in [("depth", stage.depth), ("width", stage.width), ("stride", stage.stride)] {
        keys.insert(key.into(), Value::Integer(value));
    }
    if block == BlockKind::Resnext {
        keys.insert("group_width".into(), Value::Integer(stage.group_width));
        keys.insert("bottleneck_ratio".into(), Value::Float(stage.bottleneck_ratio));
        keys.insert("se_ratio".into(), Value::Float(stage.se_ratio));
    }
    keys
}

/// Returns the seed of a space: a function of the sweep's and of the space's name, so that spaces have independent samples and
/// keep them when others are added.
fn sampling_seed(seed: u64, slug: &str) -> u64 {
    let hash = blake3::hash(slug.as_bytes());
    let name = hash.as_bytes()[..8].iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
    let mut random: SplitMix64 = Purpose::Space.stream(&[seed, name]);
    random.next_u64()
}
