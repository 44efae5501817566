//! Recipes to test with.

use std::path::{Path, PathBuf};

use regatta_settings::{RawRecipe, Recipe, RecipeError, load};

/// The smallest recipe of each section: an anynet on Fashion-MNIST.
pub(crate) const SMALL: &str = r#"[model.anynet]
stages = [{ depth = 1, width = 32, group_width = 16 }, { depth = 2, width = 64, group_width = 16 }]
[data]
dataset = "fashion_mnist"
[train]
epochs = 10
global_batch_size = 128
[optim]
name = "sgd"
lr = 0.1
"#;

/// A generated RegNet on synthetic images, with AdamW.
pub(crate) const REGNET: &str = r#"[model.regnet]
depth = 13
w0 = 24
wa = 36.44
wm = 2.49
group_width = 8
[data]
dataset = "synthetic"
synthetic_train_images = 1000
synthetic_val_images = 100
[train]
epochs = 5
global_batch_size = 64
[optim]
name = "adamw"
lr = 1e-3
"#;

/// ImageNet-like image files, in a folder for each class.
pub(crate) const FOLDER: &str = r#"[model]
arch = "regnetx_200mf"
classes = 10
[data]
dataset = "image_folder"
folder = "images"
resolution_px = 224
[train]
epochs = 1
global_batch_size = 64
[optim]
name = "sgd"
lr = 0.1
"#;

/// Image files in tar archives.
pub(crate) const SHARDS: &str = r#"[model]
arch = "regnetx_200mf"
classes = 10
[data]
dataset = "tar_shards"
folder = "shards"
train_shards = "train-{0..3}.tar"
val_shards = "val-0.tar"
shuffle = "shards"
[augment]
auto_augment = "rand_augment"
random_erasing_probability = 0.1
[train]
epochs = 1
global_batch_size = 64
[optim]
name = "sgd"
lr = 0.1
"#;

/// Loads `text` as the file `recipe.toml`, with `sets` and an environment of `env`.
pub(crate) fn load_text(text: &str, env: &[(&str, &str)], sets: &[&str]) -> Result<RawRecipe, RecipeError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    std::fs::write(&path, text).unwrap();
    let env = env.iter().map(|(name, value)| (name.into(), value.into()));
    let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
    load(&path, env, &sets)
}

/// `text` with `sets`, resolved for one rank.
pub(crate) fn resolved(text: &str, sets: &[&str]) -> Recipe {
    load_text(text, &[], sets).unwrap().resolve(1, None).unwrap()
}

/// The error's text without the temporary folder's name, and without the keys of a section, which are more with every new one.
pub(crate) fn message(error: &RecipeError) -> String {
    let mut text = error.to_string();
    let list = ["] has ", "with the keys "].iter().find_map(|start| Some(text.find(start)? + start.len()));
    if let Some(list) = list {
        text.replace_range(list.., "...");
    }
    let Some(end) = text.find("recipe.toml") else { return text };
    let start = text[..end].rfind(' ').map_or(0, |space| space + 1);
    text.replace(&text[start..end], "")
}

/// Every recipe of `configs/` and its folders, by path, except for those of sweeps, most of which name no network.
pub(crate) fn shipped_recipes() -> Vec<PathBuf> {
    let mut recipes = recipes_in(concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs").as_ref());
    recipes.retain(|path| path.parent().is_none_or(|folder| !folder.ends_with("sweeps")));
    recipes
}

pub(crate) fn recipes_in(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let of_entry = |path: PathBuf| if path.is_dir() { recipes_in(&path) } else { vec![path] };
    let mut recipes: Vec<PathBuf> = entries.into_iter().flat_map(of_entry).collect();
    recipes.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    recipes
}
