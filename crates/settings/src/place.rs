//! Which values were typed and where (file and line, environment variable or `--set` option), and their refusal.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::error::RecipeError;

/// Where one value comes from.
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
    /// Nobody typed it: the recipe file as a whole.
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
/// All are equal: where a value was typed makes no two recipes different.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The recipe file, named for keys that nobody typed.
    file: PathBuf,
    by_key: BTreeMap<String, Place>,
}

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Places {
    /// No places yet, of a recipe read from `file`.
    pub(crate) fn of_file(file: PathBuf) -> Self {
        Self { file, by_key: BTreeMap::new() }
    }

    /// Notes where the top-most layer typed `keys`; what lies below one of them is forgotten.
    pub(crate) fn overlay(&mut self, keys: Vec<(String, Place)>) {
        let is_below = |key: &str, parent: &str| {
            key.strip_prefix(parent).is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        self.by_key.retain(|old, _| !keys.iter().any(|(new, _)| is_below(old, new)));
        self.by_key.extend(keys);
    }

    /// Where `key`, or something of the section that it is, or else the value that holds it, was typed.
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

    /// Where the first of the section's values was typed.
    fn in_section(&self, section: &str) -> Option<&Place> {
        let is_in_section = |key: &str| key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'));
        self.by_key.iter().find(|(key, _)| is_in_section(key)).map(|(_, place)| place)
    }

    /// Whether the value of `key`, or one of the section that it is, was typed.
    pub(crate) fn is_typed(&self, key: &str) -> bool {
        self.by_key.contains_key(key) || self.in_section(key).is_some()
    }

    /// Refuses those of `keys` that were typed although `owner` is not the `choice` that they belong to.
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

    /// Refuses `key`, which holds `found`, unless it `is_right`.
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

    /// Refuses the combination that `problem` describes, at the place of `key`.
    pub(crate) fn conflict(&self, key: &str, problem: String) -> RecipeError {
        RecipeError::Conflict { place: self.of(key), problem }
    }
}
