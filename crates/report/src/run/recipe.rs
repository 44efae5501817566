//! The keys in which the recipes of runs differ.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// A key of the recipe that differs between runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The key, such as `optim.lr`.
    pub key: String,
    /// Its value in each run; none where it is unset.
    pub values: Vec<Option<String>>,
}

/// Returns the keys in which the recipes differ, with their values in the order of the recipes.
pub fn differences(recipes: &[&BTreeMap<String, String>]) -> Vec<Difference> {
    let keys: BTreeSet<&String> = recipes.iter().flat_map(|recipe| recipe.keys()).collect();
    let of_key = |key: &String| Difference {
        key: key.clone(),
        values: recipes.iter().map(|recipe| recipe.get(key).cloned()).collect(),
    };
    keys.into_iter().map(of_key).filter(|it| it.values.iter().any(|value| *value != it.values[0])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_and_unset_values_differ() {
        let recipe = |values: &[(&str, &str)]| -> BTreeMap<String, String> {
            values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let one = recipe(&[("optim.lr", "0.1"), ("train.epochs", "4")]);
        let other = recipe(&[("optim.lr", "0.2"), ("train.epochs", "4"), ("train.max_steps", "60")]);
        let found: Vec<_> = differences(&[&one, &other, &one])
            .into_iter()
            .map(|it| format!("{}: {:?}", it.key, it.values.iter().flatten().collect::<Vec<_>>()))
            .collect();
        assert_eq!(found, [r#"optim.lr: ["0.1", "0.2", "0.1"]"#, r#"train.max_steps: ["60"]"#]);
        assert_eq!((differences(&[&one]), differences(&[])), (vec![], vec![]));
    }
}
