//! Every key of a recipe with its type, default and documentation, read from the JSON schema of the raw recipe.

use std::fmt::Write;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::raw::RawRecipe;

/// Documentation of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDoc {
    /// The full path; for keys in a list of tables, such as `model.anynet.stages[].width`.
    pub key: String,
    /// The type in words, such as `a number`.
    pub type_name: String,
    /// The default as written in a recipe, `unset`, a sentence, or `required`.
    pub default: String,
    /// The values that a required key accepts, in words.
    pub required: Option<String>,
    /// The description of the key, with its unit.
    pub doc: String,
    /// Smallest and largest value of an integer.
    pub bounds: Option<(i64, i64)>,
    /// The accepted words in quotes, if the key takes one of several.
    pub choices: Vec<String>,
}

static KEYS: LazyLock<Vec<KeyDoc>> = LazyLock::new(|| {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<RawRecipe>();
    let mut keys = Vec::new();
    collect_keys("", schema.as_value(), &mut keys);
    keys
});

/// Returns every key, in the order of declaration.
pub fn schema() -> &'static [KeyDoc] {
    &KEYS
}

/// Formats [`schema`] for a terminal: for each key a line with type and default, then its description.
pub fn schema_text() -> String {
    let mut text = String::new();
    let mut section = "";
    for key in schema() {
        let key_section = key.key.split('.').next().unwrap_or_default();
        if key_section != section {
            section = key_section;
            writeln!(text, "[{section}]").expect("a String takes every write");
        }
        writeln!(text, "{}: {}; {}", key.key, key.type_name, default_phrase(&key.default))
            .expect("a String takes every write");
        writeln!(text, "    {}", key.doc).expect("a String takes every write");
    }
    text
}

/// Returns the key at `path`; `model.anynet.stages[3].width` finds `model.anynet.stages[].width`.
pub(crate) fn key_at(path: &str) -> Option<&'static KeyDoc> {
    let general = generalised(path);
    schema().iter().find(|key| key.key == general)
}

/// Returns whether there are keys below `path`: it is a section, or an entry of a list of tables.
pub(crate) fn is_table(path: &str) -> bool {
    let prefix = format!("{}.", generalised(path));
    schema().iter().any(|key| key.key.starts_with(&prefix))
}

/// Returns the names directly below the section `path`; for the empty path, the sections.
pub(crate) fn names_in(path: &str) -> Vec<&'static str> {
    let prefix = if path.is_empty() { String::new() } else { format!("{}.", generalised(path)) };
    let below = schema().iter().filter_map(|key| key.key.strip_prefix(&prefix));
    let mut names: Vec<&str> = below.filter_map(|rest| rest.split(['.', '[']).next()).collect();
    names.dedup();
    names
}

fn generalised(path: &str) -> String {
    path.split('[')
        .map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()))
        .collect::<Vec<_>>()
        .join("[")
}

fn default_phrase(default: &str) -> String {
    if default == "required" { default.to_owned() } else { format!("default {default}") }
}

fn collect_keys(prefix: &str, schema: &Value, keys: &mut Vec<KeyDoc>) {
    let properties = schema["properties"].as_object().expect("every section is a table with keys");
    for (name, property) in properties {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if property["properties"].is_object() {
            collect_keys(&key, property, keys);
            continue;
        }
        keys.push(key_doc(&key, property));
        if property["items"]["properties"].is_object() {
            collect_keys(&format!("{key}[]"), &property["items"], keys);
        }
    }
}

fn key_doc(key: &str, property: &Value) -> KeyDoc {
    let text = property["description"].as_str().unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let type_name = type_name(property);
    let (doc, default, required) = if let Some((doc, default)) = text.rsplit_once("Default: ") {
        (doc, default.trim_end_matches('.'), None)
    } else if let Some((doc, accepted)) = text.rsplit_once("Required: ") {
        (doc, "required", Some(accepted.trim_end_matches('.').to_owned()))
    } else {
        (text.trim_end_matches("Required."), "required", Some(type_name.clone()))
    };
    KeyDoc {
        key: key.to_owned(),
        type_name,
        bounds: bounds(property),
        choices: choices(property),
        default: default.to_owned(),
        required,
        doc: doc.trim_end().to_owned(),
    }
}

fn type_name(property: &Value) -> String {
    let choices = choices(property);
    if !choices.is_empty() {
        return one_of(&choices);
    }
    match json_type(property) {
        "boolean" => "true or false".to_owned(),
        "integer" => match bounds(property) {
            Some((least, most)) => format!("an integer from {least} to {most}"),
            None => "an integer, at least 0".to_owned(),
        },
        "number" => "a number".to_owned(),
        "string" => "a string".to_owned(),
        "array" if property["items"]["properties"].is_object() => "a list of tables".to_owned(),
        "array" => "a list of numbers".to_owned(),
        other => unreachable!("no key has the type {other:?}"),
    }
}

fn bounds(property: &Value) -> Option<(i64, i64)> {
    property["minimum"].as_i64().zip(property["maximum"].as_i64())
}

/// Returns the JSON type's name; for an optional key, that of its value.
fn json_type(property: &Value) -> &str {
    match &property["type"] {
        Value::Array(types) => {
            types.iter().filter_map(Value::as_str).find(|&name| name != "null").unwrap_or_default()
        }
        name => name.as_str().unwrap_or_default(),
    }
}

/// Returns the words of an enum, in any of the forms that a JSON schema has for it; empty for other types.
fn choices(property: &Value) -> Vec<String> {
    let list = |name: &str| property[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let words = list("enum").iter().chain([&property["const"]]).filter(|word| word.is_string());
    let alternatives = list("oneOf").iter().chain(list("anyOf")).flat_map(choices);
    words.map(Value::to_string).chain(alternatives).collect()
}

/// Formats a list as `"a", "b" or "c"`.
pub(crate) fn one_of(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [word] => word.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
