//! Errors of a recipe; every message names the place, the key, the value found and the values accepted.

use std::path::PathBuf;

use crate::place::Place;
use crate::required::{UnsetKey, missing};

/// A recipe that cannot be used. The trainer ends with exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The recipe file cannot be read.
    #[error("cannot read the recipe {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// The path is not a regular file, or the file is too large for a recipe.
    #[error("cannot read the recipe {}: it is {found}; a recipe is a text file", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
        /// What was found at the path.
        found: String,
    },

    /// The recipe's file name cannot be used as the run's name.
    #[error("{}: the run is named after the recipe file, but {expected}; choose a name with --name", config.display())]
    RunName {
        /// The recipe file.
        config: PathBuf,
        /// Description of a valid name.
        expected: String,
    },

    /// An environment variable that overrides a key and is not valid UTF-8.
    #[error("environment variable {variable}: not valid UTF-8")]
    Environment {
        /// Its name, with invalid UTF-8 replaced.
        variable: String,
    },

    /// The text is not TOML.
    #[error("{place}: not valid TOML: {problem}, in `{found}`")]
    Syntax {
        /// The line.
        place: Place,
        /// The parser's message.
        problem: String,
        /// The line's text.
        found: String,
    },

    /// A `--set` option without a key or an equals sign.
    #[error("--set {option}: expected section.key=value, for example --set optim.lr=0.1")]
    Option {
        /// The option's value.
        option: String,
    },

    /// An unknown section or key.
    #[error("{place}: unknown key {key}; {accepted}")]
    UnknownKey {
        /// Where it was typed.
        place: Place,
        /// Its full path.
        key: String,
        /// The keys accepted.
        accepted: String,
    },

    /// A value of the wrong type or out of its range.
    #[error("{place}: {key} = {found}: expected {accepted}")]
    Value {
        /// Where it was typed.
        place: Place,
        /// The key's full path.
        key: String,
        /// The value as typed.
        found: String,
        /// The values accepted.
        accepted: String,
    },

    /// Required keys that are not set.
    #[error("{}", missing(.keys))]
    Missing {
        /// All of them, at least one.
        keys: Vec<UnsetKey>,
    },

    /// Values that do not fit each other, the data set or the number of ranks.
    #[error("{place}: {problem}")]
    Conflict {
        /// Where the value most likely to be wrong was typed.
        place: Place,
        /// The keys, their values and what would be valid.
        problem: String,
    },

    /// The layers cannot be merged, although each of them is valid.
    #[error("cannot combine the recipe's layers")]
    Layers(#[from] config::ConfigError),
}
