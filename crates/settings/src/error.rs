//! Why a recipe is refused; every message names the place, the key, what was found and what would be right.

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

    /// The file is nothing that a recipe is read from.
    #[error("cannot read the recipe {}: it is {found}; a recipe is a text file", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },

    /// The recipe's file name does not name its run.
    #[error("{}: the run takes its name from the recipe's, and {expected}; give it another with --name", config.display())]
    RunName {
        /// The recipe file.
        config: PathBuf,
        /// What a name is.
        expected: String,
    },

    /// A variable of a recipe that holds no text.
    #[error("environment variable {variable}: not valid UTF-8")]
    Environment {
        /// Its name, as far as it is text.
        variable: String,
    },

    /// The text is not TOML.
    #[error("{place}: not valid TOML: {problem}, in `{found}`")]
    Syntax {
        /// The line.
        place: Place,
        /// What the parser says.
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

    /// A section or key that no recipe has.
    #[error("{place}: unknown key {key}; {accepted}")]
    UnknownKey {
        /// Where it was typed.
        place: Place,
        /// Its full path.
        key: String,
        /// What there is instead.
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

    /// Required keys that nobody set.
    #[error("{}", missing(.keys))]
    Missing {
        /// All of them, at least one.
        keys: Vec<UnsetKey>,
    },

    /// Values that do not fit each other, the data set or the number of ranks.
    #[error("{place}: {problem}")]
    Conflict {
        /// Where the value most to blame was typed.
        place: Place,
        /// The keys, their values and what would be right.
        problem: String,
    },

    /// The layers cannot be put on top of each other, though each of them alone is right.
    #[error("cannot combine the recipe's layers")]
    Layers(#[from] config::ConfigError),
}
