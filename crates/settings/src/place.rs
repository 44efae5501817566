//! The places where values were typed (file and line, environment variable or `--set` option), and errors that name them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::error::RecipeError;

/// Where a value was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of the recipe file, counted from 1.
    File {
        /// The recipe file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its full name.
        variable: String,
    },
    /// A `--set` option.
    Set {
        /// The option's value as typed, `section.key=value`.
        option: String,
    },
    /// Not typed anywhere; messages name the recipe file.
    Unset {
        /// The recipe file.
        path: PathBuf,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, line } => write!(formatter, "{}:{line}", path.display()),
            Place::Environment { variable } => write!(formatter, "environment variable {variable}"),
            Place::Set { option } => write!(formatter, "--set {option}"),
            Place::Unset { path } => write!(formatter, "{}", path.display()),
        }
    }
}

/// The place of every value of a recipe, by key path such as `optim.lr` or `model.anynet.stages[1].width`.
///
/// All values of this type compare equal, since recipes do not differ by where their values were typed.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The recipe file, which messages name for unset keys.
    file: PathBuf,
    by_key: BTreeMap<String, Place>,
}

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Places {
    /// Returns an empty set of places for a recipe read from `file`.
    pub(crate) fn of_file(file: PathBuf) -> Self {
        Self { file, by_key: BTreeMap::new() }
    }

    /// Adds the places of `keys` from the next higher layer and removes those of keys below them.
    pub(crate) fn overlay(&mut self, keys: Vec<(String, Place)>) {
        let is_below = |key: &str, parent: &str| {
            key.strip_prefix(parent).is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        self.by_key.retain(|old, _| !keys.iter().any(|(new, _)| is_below(old, new)));
        self.by_key.extend(keys);
    }

    /// Returns where `key` was typed: if it is a section, the first key in it, and otherwise the nearest enclosing value.
    pub(crate) fn of(&self, key: &str) -> Place {
        if let Some(place) = self.in_section(key) {
            return place.clone();
        }
        let mut key = key;
        loop {
            if let Some(place) = self.by_key.get(key) {
                return place.clone();
            }
            match key.rfind(['.', '[']) {
                Some(end) => key = &key[..end],
                None => return Place::Unset { path: self.file.clone() },
            }
        }
    }

    /// Returns where the first of the section's values was typed.
    fn in_section(&self, section: &str) -> Option<&Place> {
        let is_in_section = |key: &str| key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'));
        self.by_key.iter().find(|(key, _)| is_in_section(key)).map(|(_, place)| place)
    }

    /// Returns whether `key` was typed or, if it is a section, any key in it.
    pub(crate) fn is_typed(&self, key: &str) -> bool {
        self.by_key.contains_key(key) || self.in_section(key).is_some()
    }

    /// Rejects `keys` if any of them was typed, for use when `owner` is not `choice`, to which they belong.
    pub(crate) fn refuse_typed<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a str>,
        owner: &str,
        choice: &str,
    ) -> Result<(), RecipeError> {
        match keys.into_iter().find(|key| self.is_typed(key)) {
            Some(key) => Err(self.conflict(
                key,
                format!(
                    "{key} is set, but {owner} is not {choice}: leave it out, or set {owner} to {choice}"
                ),
            )),
            None => Ok(()),
        }
    }

    /// Rejects the value `found` of `key` unless it `is_right`.
    pub(crate) fn require(
        &self,
        is_right: bool,
        key: &str,
        found: impl fmt::Debug,
        accepted: &str,
    ) -> Result<(), RecipeError> {
        if is_right {
            return Ok(());
        }
        let (key, found, accepted) = (key.to_owned(), format!("{found:?}"), accepted.to_owned());
        Err(RecipeError::Value { place: self.of(&key), key, found, accepted })
    }

    /// Returns the error for the combination that `problem` describes, at the place of `key`.
    pub(crate) fn conflict(&self, key: &str, problem: String) -> RecipeError {
        RecipeError::Conflict { place: self.of(key), problem }
    }
}
