//! Differences between the recipe of a run and the one that it is resumed with.

use std::collections::{BTreeMap, BTreeSet};

use toml::Value;

use crate::recipe::Recipe;

/// Keys, and sections ending in a dot, that may change when a run is resumed: they affect its length, speed, output and
/// file locations, but not what its steps compute. `schedule.epochs` is included because it follows `train.epochs`.
pub const MAY_DIFFER_ON_RESUME: &[&str] = &[
    "train.epochs",
    "train.max_steps",
    "train.threads_per_rank",
    "train.cuda_graph",
    "schedule.epochs",
    "data.folder",
    "data.stage_folder",
    "data.workers",
    "data.prefetch_batches",
    "data.max_bad_fraction",
    "eval.",
    "checkpoint.",
    "comm.backend",
    "comm.timeout_s",
    "comm.first_bucket_mib",
    "comm.bucket_cap_mib",
    "log.",
    "run.",
];

impl Recipe {
    /// Returns a line `key: here -> in other` for each key that differs and must not; empty if a run of `self` may be
    /// resumed with `other`. Keys in [`MAY_DIFFER_ON_RESUME`] are ignored.
    pub fn differences(&self, other: &Recipe) -> Vec<String> {
        self.changed(other, |key| !may_differ(key))
    }

    /// Returns a line `key: here -> in other` for each key in [`MAY_DIFFER_ON_RESUME`] that differs.
    pub fn changes(&self, other: &Recipe) -> Vec<String> {
        self.changed(other, may_differ)
    }

    fn changed(&self, other: &Recipe, is_meant: impl Fn(&str) -> bool) -> Vec<String> {
        let (here, there) = (self.flattened(), other.flattened());
        let keys: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
        let shown = |value: Option<&String>| value.map_or("unset".to_owned(), String::clone);
        keys.into_iter()
            .filter(|key| here.get(*key) != there.get(*key) && is_meant(key))
            .map(|key| format!("{key}: {} -> {}", shown(here.get(key)), shown(there.get(key))))
            .collect()
    }

    /// Returns the text of every value by its key path.
    fn flattened(&self) -> BTreeMap<String, String> {
        flattened(&Value::try_from(self).expect("a recipe is a table of plain values"))
    }
}

/// Returns the text of every value of a recipe by its key path, such as `model.anynet.stages[0].width`.
pub fn flattened(recipe: &Value) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    flatten("", recipe, &mut values);
    values
}

/// Returns whether `key` may change when a run is resumed ([`MAY_DIFFER_ON_RESUME`]).
pub fn may_differ(key: &str) -> bool {
    MAY_DIFFER_ON_RESUME.iter().any(|&free| key == free || free.ends_with('.') && key.starts_with(free))
}

fn flatten(key: &str, value: &Value, values: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            let prefix = if key.is_empty() { String::new() } else { format!("{key}.") };
            for (name, value) in table {
                flatten(&format!("{prefix}{name}"), value, values);
            }
        }
        Value::Array(entries) if entries.iter().any(Value::is_table) => {
            for (index, entry) in entries.iter().enumerate() {
                flatten(&format!("{key}[{index}]"), entry, values);
            }
        }
        plain => {
            values.insert(key.to_owned(), plain.to_string());
        }
    }
}
