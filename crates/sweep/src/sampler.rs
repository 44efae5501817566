//! Distributions over keys of a recipe, from which the trials of a sweep draw their values.
//!
//! ```
//! use regatta_sweep::KeySampler;
//!
//! let keys: KeySampler = toml::from_str(
//!     r#"
//!     "optim.lr" = { log_uniform = [0.01, 1.0] }
//!     "train.batch_size" = { powers_of_two = [16, 256] }
//!     "optim.nesterov" = { grid = [true, false] }
//!     "#,
//! )?;
//! let drawn = keys.draw(1, 0);
//! assert_eq!(drawn[1].0, "optim.nesterov");
//! assert_eq!(drawn[1].1.as_bool(), Some(true));
//! # Ok::<(), toml::de::Error>(())
//! ```

use std::collections::BTreeMap;

use regatta_random::SplitMix64;
use serde::Deserialize;
use toml::Value;

mod description;

mod distribution;

mod error;

pub use error::KeyError;

use distribution::Distribution;

/// The purpose of this module's random numbers, so that they are unrelated to those of other uses of a seed.
const PURPOSE: u64 = u64::from_be_bytes(*b"recipkey");

/// Draws values for keys of a recipe. In a sweep file it is a table of keys, each with one distribution:
///
/// | distribution | values |
/// |---|---|
/// | `{ uniform = [0.0, 0.5] }` | real numbers, the upper end excluded |
/// | `{ uniform = [1, 9], integer = true }` | integers, both ends included |
/// | `{ log_uniform = [0.01, 1.0] }` | positive real numbers whose logarithm is uniform |
/// | `{ log_uniform = [1, 64], integer = true }` | the same rounded down; both ends included |
/// | `{ powers_of_two = [16, 256] }` | powers of two, all equally likely, both ends included |
/// | `{ normal = { mean = 0.0, std = 1.0, min = -2.0, max = 2.0 } }` | normal numbers, those outside of `min` and `max` (both optional) drawn again |
/// | `{ choice = ["sgd", "lamb"] }` | one of a list of any values, all equally likely |
/// | `{ grid = [1, 2, 4] }` | each of the list in turn |
///
/// Several grids make a Cartesian product, of which sample i takes point i modulo [`KeySampler::grid_points`]; as in nested loops
/// over the keys in alphabetical order, the last key changes from sample to sample.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct KeySampler {
    distributions: BTreeMap<String, Distribution>,
    grid_points: u64,
}

impl KeySampler {
    /// Returns the sampler that a sweep file's table describes.
    ///
    /// # Errors
    /// The first key, in alphabetical order, whose distribution is not complete and possible.
    pub fn new(table: &toml::Table) -> Result<Self, KeyError> {
        let parsed = table.iter().map(|(key, value)| Ok((key.clone(), description::parse(key, value)?)));
        let distributions = parsed.collect::<Result<BTreeMap<_, _>, KeyError>>()?;
        let mut lengths = distributions.values().filter_map(Distribution::grid_length);
        let product = lengths.try_fold(1_u64, u64::checked_mul);
        let grid_points = product.ok_or(KeyError::GridTooLarge)?;
        Ok(Self { distributions, grid_points })
    }

    /// Returns the keys in alphabetical order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.distributions.keys().map(String::as_str)
    }

    /// Returns the number of points of the Cartesian product of all grids, 1 without grids.
    pub fn grid_points(&self) -> u64 {
        self.grid_points.max(1)
    }

    /// Returns the values of sample `index` by key, in alphabetical order of the keys.
    ///
    /// The value of a key depends only on its distribution, seed, index and key, not on the other keys; that of a grid, on the
    /// index and the other grids.
    pub fn draw(&self, seed: u64, index: u64) -> Vec<(String, Value)> {
        let mut grid = GridPoint { index: index % self.grid_points(), points: self.grid_points() };
        let draw = |(key, distribution): (&String, &Distribution)| {
            let value = match distribution {
                Distribution::Grid(values) => grid.coordinate(values).clone(),
                drawn => drawn.draw(&mut stream(seed, index, key)),
            };
            (key.clone(), value)
        };
        self.distributions.iter().map(draw).collect()
    }
}

impl TryFrom<toml::Table> for KeySampler {
    type Error = KeyError;

    fn try_from(table: toml::Table) -> Result<Self, KeyError> {
        Self::new(&table)
    }
}

/// A point of the product of those grids whose coordinates were not taken yet.
struct GridPoint {
    index: u64,
    points: u64,
}

impl GridPoint {
    /// Takes the coordinate of the next grid, the outermost of those left.
    fn coordinate<'a>(&mut self, values: &'a [Value]) -> &'a Value {
        self.points /= values.len() as u64;
        let value = &values[(self.index / self.points) as usize];
        self.index %= self.points;
        value
    }
}

/// Returns the random numbers for one key of one sample. All bytes of the key are part of the stream's key, so that no two keys
/// share numbers.
fn stream(seed: u64, index: u64, key: &str) -> SplitMix64 {
    let word = |bytes: &[u8]| bytes.iter().fold(0_u64, |word, &byte| word << 8 | u64::from(byte));
    let words = key.as_bytes().chunks(8).map(word);
    let parts: Vec<u64> = [seed, index, key.len() as u64].into_iter().chain(words).collect();
    SplitMix64::keyed(PURPOSE, &parts)
}
