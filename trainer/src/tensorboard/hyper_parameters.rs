//! The hyper-parameters of a recipe: the keys that decide what a run computes.

use std::collections::BTreeMap;

use regatta_settings::{Recipe, may_differ};
use regatta_tensorboard::hparams::HParam;
use serde_json::Value;

/// Returns the values by key: those that must not change on resume, and the length of the run.
pub(super) fn of(recipe: &Recipe) -> BTreeMap<String, HParam> {
    let recipe = serde_json::to_value(recipe).expect("a recipe is a table of plain values");
    let mut values = BTreeMap::new();
    flatten("", &recipe, &mut values);
    values.retain(|key, _| key == "train.epochs" || !may_differ(key));
    values
}

/// Adds the values of a table by their key paths. A list becomes a text.
fn flatten(key: &str, value: &Value, values: &mut BTreeMap<String, HParam>) {
    let plain = match value {
        Value::Object(table) => {
            let prefix = if key.is_empty() { String::new() } else { format!("{key}.") };
            for (name, value) in table {
                flatten(&format!("{prefix}{name}"), value, values);
            }
            return;
        }
        Value::Null => return,
        Value::Bool(flag) => HParam::Bool(*flag),
        Value::String(text) => HParam::Text(text.clone()),
        Value::Number(number) => HParam::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::Array(_) => HParam::Text(value.to_string()),
    };
    values.insert(key.to_owned(), plain);
}
