//! Errors of a sweep file's distributions, with the accepted values.

use super::description::NAMES;

/// A distribution over a key of the recipe that is not complete and possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A value where a distribution belongs.
    #[error(
        "{key} is {value}, must be a distribution such as {{ choice = [{value}] }}; a value that all trials share belongs in \
         the base recipe"
    )]
    NotADistribution {
        /// The key.
        key: String,
        /// The value, in TOML.
        value: String,
    },

    /// A key with dots that was not quoted, which TOML reads as a table in a table.
    #[error("{key} is a table of keys, must be one key in quotes: \"{key}.{inner}\" = {{ ... }}")]
    UnquotedKey {
        /// The key's first part.
        key: String,
        /// Its second part.
        inner: String,
    },

    /// Not exactly one distribution.
    #[error("{key} has {}, must have one of {}", listed(found), NAMES.join(", "))]
    NotOneDistribution {
        /// The key.
        key: String,
        /// The distributions given.
        found: Vec<&'static str>,
    },

    /// An unknown option, or a value of another type.
    #[error("{key}: {message}")]
    Malformed {
        /// The key.
        key: String,
        /// What is wrong.
        message: String,
    },

    /// A number or list that is not possible.
    #[error("{key}: {option} is {value}, must be {expected}")]
    Impossible {
        /// The key.
        key: String,
        /// The option of the distribution.
        option: &'static str,
        /// Its value.
        value: String,
        /// The accepted values.
        expected: String,
    },

    /// Grids whose product has more points than can be counted.
    #[error(
        "the grids together have more than {} points, must have fewer: shorten one, or draw it by choice",
        u64::MAX
    )]
    GridTooLarge,
}

fn listed(found: &[&str]) -> String {
    if found.is_empty() { "no distribution".to_owned() } else { found.join(" and ") }
}
