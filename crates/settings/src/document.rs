//! Checks a single layer of a recipe, as TOML with spans: unknown keys, wrong types, numbers that are not finite or out of
//! bounds.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::error::RecipeError;
use crate::nearest::{nearest, nearest_by_edits};
use crate::place::Place;
use crate::raw::RawRecipe;
use crate::schema::{self, KeyDoc};

/// Former keys, and what takes their place.
const REPLACED: [(&str, &str); 1] =
    [("optim.weight_decay_norm_bias", "optim.weight_decay_norm (of BatchNorm) and optim.weight_decay_bias")];
/// Maximum number of characters of a value in a message.
const SHOWN_CHARS: usize = 60;

/// Checks the TOML document `text` and returns the key and place of every value.
///
/// `place_of` maps a line number, counted from 1, to the place where that line was typed.
///
/// # Errors
/// Invalid TOML, unknown keys, wrong types, `nan` and `inf`, integers out of their key's bounds.
pub(crate) fn check(
    text: &str,
    place_of: impl Fn(usize) -> Place,
) -> Result<Vec<(String, Place)>, RecipeError> {
    let line_at = |offset: usize| 1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count();
    let place_at = |offset: usize| place_of(line_at(offset));
    let syntax = |error: toml::de::Error| {
        let line = line_at(error.span().map_or(0, |span| span.start));
        let found = shown(text.lines().nth(line - 1).unwrap_or_default());
        RecipeError::Syntax { place: place_of(line), problem: error.message().to_owned(), found }
    };
    let table = DeTable::parse(text).map_err(syntax)?;

    let mut walk = Walk { leaves: Vec::new(), problem: None };
    walk.table("", table.get_ref());
    if let Some((key, offset)) = walk.problem {
        return Err(unknown_key(place_at(offset), &key));
    }
    let wrong = |leaf: &Leaf, accepted: String| RecipeError::Value {
        place: place_at(leaf.span.start),
        key: leaf.key.clone(),
        found: shown(&text[leaf.span.clone()]),
        accepted,
    };
    let type_name =
        |leaf: &Leaf| schema::key_at(&leaf.key).map_or("a table of keys", |key| key.type_name.as_str());
    if let Some(leaf) = walk.leaves.iter().find(|leaf| !leaf.is_finite) {
        return Err(wrong(leaf, type_name(leaf).replace("number", "finite number")));
    }
    if let Some(leaf) = walk.leaves.iter().find(|leaf| !leaf.is_in_bounds) {
        return Err(wrong(leaf, type_name(leaf).to_owned()));
    }
    if let Err(error) = toml::from_str::<RawRecipe>(text) {
        let leaf = error.span().and_then(|span| walk.leaves.iter().find(|leaf| leaf.covers(&span)));
        return Err(leaf.map_or_else(
            || syntax(error.clone()),
            |leaf| wrong(leaf, type_name(leaf).to_owned() + &meant_word(&leaf.key, &text[leaf.span.clone()])),
        ));
    }
    Ok(walk.leaves.into_iter().map(|leaf| (leaf.key, place_at(leaf.span.start))).collect())
}

/// Returns the error for an unknown key, with the key that was probably meant and all keys of its section.
pub(crate) fn unknown_key(place: Place, key: &str) -> RecipeError {
    let section = key.rsplit_once('.').map_or("", |(section, _)| section);
    let is_entry = schema::key_at(key).is_some();
    let whole = if is_entry || !schema::is_table(section) { section.split('[').next() } else { None };
    let replacement = REPLACED.iter().find_map(|(former, new)| (*former == key).then_some(new));
    let accepted = if let Some(new) = replacement {
        format!("set {new} instead")
    } else if schema::is_table(key) {
        format!("it is a section, [{key}], with the keys {}", schema::names_in(key).join(", "))
    } else if let Some(whole) = whole.and_then(schema::key_at) {
        format!("{} is {}, set as a whole", whole.key, whole.type_name)
    } else {
        nearest_and_all(key)
    };
    RecipeError::UnknownKey { place, key: key.to_owned(), accepted }
}

/// Returns the key that was probably meant by `key` and all keys of its section, or all sections if it is in none.
fn nearest_and_all(key: &str) -> String {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let section = if schema::is_table(section) { section } else { "" };
    let names = schema::names_in(section);
    let all = if section.is_empty() { "the sections are".to_owned() } else { format!("[{section}] has") };
    let all = format!("{all} {}", names.join(", "));

    let in_section =
        |near: &str| if section.is_empty() { near.to_owned() } else { format!("{section}.{near}") };
    let name_of = |known: &'static KeyDoc| known.key.rsplit('.').next().unwrap_or_default();
    let keys_called = |name: &str| schema::schema().iter().find(|known| name_of(known) == name);
    let meant = nearest(name, names.iter().copied())
        .map(in_section)
        .or_else(|| Some(keys_called(name)?.key.clone()))
        .or_else(|| {
            Some(keys_called(nearest_by_edits(name, schema::schema().iter().map(name_of))?)?.key.clone())
        });
    match meant {
        Some(meant) => format!("did you mean {meant}? {all}"),
        None => all,
    }
}

/// Returns `; did you mean "sgd"?` if a value is close to one of the words that its key accepts.
fn meant_word(key: &str, found: &str) -> String {
    let choices = schema::key_at(key).map_or(&[][..], |key| &key.choices[..]);
    let near = nearest(found.trim_matches(['"', '\'']), choices.iter().map(|word| word.trim_matches('"')));
    near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}

/// A value that is not a section; a list of tables and its entries are leaves too.
struct Leaf {
    key: String,
    span: Range<usize>,
    is_finite: bool,
    is_in_bounds: bool,
}

impl Leaf {
    fn covers(&self, span: &Range<usize>) -> bool {
        self.span.start <= span.start && span.end <= self.span.end
    }
}

/// Collects the leaves of a document, and the first unknown key with its offset.
struct Walk {
    leaves: Vec<Leaf>,
    problem: Option<(String, usize)>,
}

impl Walk {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = if prefix.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{prefix}.{}", name.get_ref())
            };
            if schema::key_at(&key).is_none() && !schema::is_table(&key) {
                self.problem.get_or_insert((key, name.span().start));
                continue;
            }
            self.value(key, value);
        }
    }

    fn value(&mut self, key: String, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) if schema::is_table(&key) => self.table(&key, table),
            DeValue::Array(entries) if schema::is_table(&format!("{key}[0]")) => {
                self.list(key, value.span(), entries)
            }
            other => {
                let (is_finite, is_in_bounds) = (is_finite(other), is_in_bounds(&key, other));
                self.leaves.push(Leaf { key, span: value.span(), is_finite, is_in_bounds });
            }
        }
    }

    fn list(&mut self, key: String, span: Range<usize>, entries: &DeArray<'_>) {
        for (index, entry) in entries.iter().enumerate() {
            let key = format!("{key}[{index}]");
            self.value(key.clone(), entry);
            if entry.get_ref().is_table() {
                self.leaves.push(Leaf { key, span: entry.span(), is_finite: true, is_in_bounds: true });
            }
        }
        self.leaves.push(Leaf { key, span, is_finite: true, is_in_bounds: true });
    }
}

fn is_finite(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Float(float) => float.as_str().parse::<f64>().is_ok_and(f64::is_finite),
        DeValue::Array(entries) => entries.iter().all(|entry| is_finite(entry.get_ref())),
        _ => true,
    }
}

/// Returns whether an integer is within its key's bounds; true for values that are not integers.
fn is_in_bounds(key: &str, value: &DeValue<'_>) -> bool {
    let bounds = schema::key_at(key).and_then(|key| key.bounds);
    let (DeValue::Integer(integer), Some((least, most))) = (value, bounds) else { return true };
    i64::from_str_radix(integer.as_str(), integer.radix()).is_ok_and(|value| (least..=most).contains(&value))
}

/// Formats a value for a message: on one line, shortened to [`SHOWN_CHARS`].
pub(crate) fn shown(value: &str) -> String {
    let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SHOWN_CHARS {
        return line;
    }
    line.chars().take(SHOWN_CHARS).chain("...".chars()).collect()
}
