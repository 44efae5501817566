//! Reads a recipe and puts its layers on top of each other: defaults < file < environment < `--set`.

use std::path::Path;

use config::{Config, File, FileFormat};

use crate::document::{check, unknown_key};
use crate::error::RecipeError;
use crate::place::{Place, Places};
use crate::raw::RawRecipe;
use crate::schema;

/// What the names of environment variables of a recipe start with.
const PREFIX: &str = "REGATTA__";

/// Reads the recipe at `path`, overlaid with the variables `REGATTA__SECTION__KEY` of `env` and the options `sets`,
/// each `section.key=value`. Values of both are TOML; text that is not, such as a bare word, is a string.
///
/// # Errors
/// A file that cannot be read or is not TOML, unknown keys, wrong types, `nan` and `inf`. Each layer is checked
/// alone, so the error names the line, variable or option.
pub fn load(
    path: &Path,
    env: impl Iterator<Item = (String, String)>,
    sets: &[String],
) -> Result<RawRecipe, RecipeError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| RecipeError::Read { path: path.to_owned(), source })?;
    let mut places = Places::of_file(path.to_owned());
    places.overlay(check(&text, |line| Place::File { path: path.to_owned(), line })?);

    let mut layers = Config::builder().add_source(File::from_str(&text, FileFormat::Toml));
    for (key, value, place) in overrides(env, sets)? {
        let layer = one_value_document(&key, &value, &place)?;
        places.overlay(check(&layer, |_| place.clone())?);
        layers = layers.add_source(File::from_str(&layer, FileFormat::Toml));
    }
    // The lowest layer, the defaults, is what serde fills in for the keys that no layer sets.
    let raw: RawRecipe = layers.build()?.try_deserialize()?;
    Ok(RawRecipe { places, ..raw })
}

/// Key, value and place of every override, lowest layer first.
fn overrides(
    env: impl Iterator<Item = (String, String)>,
    sets: &[String],
) -> Result<Vec<(String, String, Place)>, RecipeError> {
    let mut overrides: Vec<(String, String, Place)> = env
        .filter_map(|(variable, value)| {
            let key = variable.strip_prefix(PREFIX)?.to_lowercase().replace("__", ".");
            Some((key, value, Place::Environment { variable }))
        })
        .collect();
    overrides.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    for option in sets {
        let (key, value) =
            option.split_once('=').ok_or_else(|| RecipeError::Option { option: option.clone() })?;
        overrides.push((
            key.trim().to_owned(),
            value.trim().to_owned(),
            Place::Set { option: option.clone() },
        ));
    }
    Ok(overrides)
}

/// The TOML document that sets `key` alone.
fn one_value_document(key: &str, value: &str, place: &Place) -> Result<String, RecipeError> {
    if schema::key_at(key).is_none() || schema::is_table(key) || key.contains('[') {
        return Err(unknown_key(place.clone(), key));
    }
    let value = match value.parse::<toml::Value>() {
        Ok(_) => value.to_owned(),
        Err(_) => toml::Value::String(value.to_owned()).to_string(),
    };
    Ok(format!("{key} = {value}\n"))
}
