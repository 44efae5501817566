//! Reads a recipe and merges its layers, in rising precedence: defaults, file, environment, `--set`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use config::{Config, FileFormat};
use toml::de::DeValue;

use crate::document::{check, shown, unknown_key};
use crate::error::RecipeError;
use crate::place::{Place, Places};
use crate::raw::RawRecipe;
use crate::schema;

/// Prefix of the environment variables that override keys.
const PREFIX: &str = "REGATTA__";
/// Maximum size of a recipe file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the recipe at `path` and applies the variables `REGATTA__SECTION__KEY` of `env` and the options `sets`, each
/// `section.key=value`. Values of both are TOML; text that is not TOML, such as a bare word, is taken as a string.
///
/// # Errors
/// A path that is not a regular file, a file that cannot be read, is too large or is not TOML, unknown keys, wrong types,
/// `nan` and `inf`. Each layer is checked separately, so the error names the line, variable or option.
pub fn load(
    path: &Path,
    env: impl Iterator<Item = (OsString, OsString)>,
    sets: &[String],
) -> Result<RawRecipe, RecipeError> {
    let text = read(path)?;
    parse(path, &text, overrides(env, sets)?)
}

/// Checks each layer of a recipe separately and merges them with `config`: first `text`, the content of the file `path`, then
/// `overrides` in rising precedence.
///
/// # Errors
/// Those of [`load`], except for reading the file.
pub(crate) fn parse(path: &Path, text: &str, overrides: Vec<Override>) -> Result<RawRecipe, RecipeError> {
    let (text, split_line) = with_present_keys(text);
    let mut places = Places::of_file(path.to_owned());
    let typed_line = |line| line - usize::from(split_line.is_some_and(|split| line > split));
    places.overlay(check(&text, |line| Place::File { path: path.to_owned(), line: typed_line(line) })?);

    let mut layers = Config::builder().add_source(config::File::from_str(&text, FileFormat::Toml));
    for (key, value, place) in overrides {
        let layer = one_value_document(&key, &value, &place)?;
        places.overlay(check(&layer, |_| place.clone())?);
        layers = layers.add_source(config::File::from_str(&layer, FileFormat::Toml));
    }
    // The lowest layer, the defaults, is filled in by serde for keys that no layer sets.
    let raw: RawRecipe = layers.build()?.try_deserialize()?;
    Ok(RawRecipe { places, ..raw })
}

/// Replaces the key of a recipe's file that BatchNorm and biases shared before they had weight decays of their own, as in the
/// recipes of older runs. Returns the number of the line that became two, counted from 1.
fn with_present_keys(text: &str) -> (String, Option<usize>) {
    let decay = |line: &str| {
        let value =
            line.trim_start().strip_prefix("weight_decay_norm_bias")?.trim_start().strip_prefix('=')?;
        Some(format!("weight_decay_norm = {value}\nweight_decay_bias = {value}\n"))
    };
    let found = text.lines().position(|line| decay(line).is_some());
    let lines = text.lines().map(|line| decay(line).unwrap_or_else(|| format!("{line}\n")));
    (lines.collect(), found.map(|index| index + 1))
}

/// Reads the text of the recipe file. Only regular files are opened: a device may have no end, and a pipe waits for a writer.
///
/// # Errors
/// A path that is not a regular file, a file that cannot be read, is too large or is not UTF-8.
pub(crate) fn read(path: &Path) -> Result<String, RecipeError> {
    let failed = |source| RecipeError::Read { path: path.to_owned(), source };
    let no_file = |found: String| RecipeError::NoFile { path: path.to_owned(), found };
    let kind = fs::metadata(path).map_err(failed)?.file_type();
    if !kind.is_file() {
        return Err(no_file(
            if kind.is_dir() { "a folder" } else { "a pipe, a socket or a device" }.to_owned(),
        ));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(no_file(format!("larger than {} KiB", MAX_BYTES / 1024)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let (bytes, end) = (error.as_bytes(), error.utf8_error().valid_up_to());
        let line = 1 + bytes[..end].iter().filter(|&&byte| byte == b'\n').count();
        let found = bytes.split(|&byte| byte == b'\n').nth(line - 1).unwrap_or_default();
        RecipeError::Syntax {
            place: Place::File { path: path.to_owned(), line },
            problem: format!("the byte 0x{:02x} is not UTF-8", bytes[end]),
            found: shown(&String::from_utf8_lossy(found)),
        }
    })
}

/// Returns the key that the environment variable `REGATTA__SECTION__KEY` sets; none for other variables.
pub fn key_of_variable(name: &str) -> Option<String> {
    Some(name.strip_prefix(PREFIX)?.to_lowercase().replace("__", "."))
}

/// The key, value and place of an environment variable or a `--set` option.
type Override = (String, String, Place);

/// Returns every override, in rising precedence.
fn overrides(
    env: impl Iterator<Item = (OsString, OsString)>,
    sets: &[String],
) -> Result<Vec<Override>, RecipeError> {
    let mut overrides = Vec::new();
    for (variable, value) in env.filter(|(name, _)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes())) {
        let (Some(name), Some(value)) = (variable.to_str(), value.to_str()) else {
            return Err(RecipeError::Environment { variable: variable.to_string_lossy().into_owned() });
        };
        let key = key_of_variable(name).unwrap_or_default();
        overrides.push((key, value.to_owned(), Place::Environment { variable: name.to_owned() }));
    }
    overrides.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    for option in sets {
        let pair =
            option.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
        let (key, value) = pair
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| RecipeError::Option { option: option.clone() })?;
        overrides.push((key, value, Place::Set { option: option.clone() }));
    }
    Ok(overrides)
}

/// Returns a TOML document that sets only `key`.
fn one_value_document(key: &str, value: &str, place: &Place) -> Result<String, RecipeError> {
    if schema::key_at(key).is_none() || schema::is_table(key) || key.contains('[') {
        return Err(unknown_key(place.clone(), key));
    }
    let value = match DeValue::parse(value) {
        Ok(_) => value.to_owned(),
        Err(_) => toml::Value::String(value.to_owned()).to_string(),
    };
    Ok(format!("{key} = {value}\n"))
}
