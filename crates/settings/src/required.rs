//! Required keys: unset ones are collected, so that one error names all of them.

use std::cell::RefCell;
use std::fmt;

use crate::error::RecipeError;
use crate::place::{Place, Places};
use crate::schema;

/// A required key that is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsetKey {
    /// The recipe file, or the line of the table that lacks the key.
    pub place: Place,
    /// The key's full path.
    pub key: String,
    /// The values accepted.
    pub accepted: String,
}

impl fmt::Display for UnsetKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, key, accepted } = self;
        write!(formatter, "{place}: {key} is not set: expected {accepted}")
    }
}

/// Collects the required keys that are unset.
pub(crate) struct Required<'a> {
    pub(crate) places: &'a Places,
    unset: RefCell<Vec<UnsetKey>>,
}

impl<'a> Required<'a> {
    /// Starts the collection for the recipe whose values were typed at `places`.
    pub(crate) fn of(places: &'a Places) -> Self {
        Self { places, unset: RefCell::default() }
    }

    /// Notes the unset keys directly in `section` that have no default.
    pub(crate) fn note_unset_in(&self, section: &str) {
        for name in schema::names_in(section) {
            let key = format!("{section}.{name}");
            let accepted = schema::key_at(&key).and_then(|key| key.required.as_deref());
            if let Some(accepted) = accepted.filter(|_| !self.places.is_typed(&key)) {
                self.note_unset(&key, accepted);
            }
        }
    }

    /// Returns the value of a key that the value of another key makes required. If it is unset, notes it and returns a
    /// placeholder, so that resolution can continue until [`Required::refuse_unset`].
    pub(crate) fn value<T: Default>(&self, value: Option<T>, key: &str, accepted: &str) -> T {
        value.unwrap_or_else(|| {
            self.note_unset(key, accepted);
            T::default()
        })
    }

    /// Notes a required key that is unset.
    pub(crate) fn note_unset(&self, key: &str, accepted: &str) {
        let (place, key, accepted) = (self.places.of(key), key.to_owned(), accepted.to_owned());
        self.unset.borrow_mut().push(UnsetKey { place, key, accepted });
    }

    /// Rejects the recipe if any required key is unset.
    pub(crate) fn refuse_unset(self) -> Result<(), RecipeError> {
        let keys = self.unset.into_inner();
        if keys.is_empty() { Ok(()) } else { Err(RecipeError::Missing { keys }) }
    }
}

/// Formats unset keys: a sentence for a single key, otherwise a heading and a line for each.
pub(crate) fn missing(keys: &[UnsetKey]) -> String {
    let lines: Vec<String> = keys.iter().map(ToString::to_string).collect();
    match &lines[..] {
        [line] => line.clone(),
        lines => format!("{} required keys are not set:\n  {}", lines.len(), lines.join("\n  ")),
    }
}
