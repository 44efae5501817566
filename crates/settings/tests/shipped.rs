//! Every recipe in `configs/` loads, resolves and describes a network.

use std::collections::BTreeMap;
use std::path::Path;

use regatta_anynet::regnetx32;
use regatta_settings::load;

use crate::support::{load_text, shipped_recipes};

/// The recipe in docs/data.md needs nothing more.
#[test]
fn the_documented_recipe_of_imagenet_is_complete() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/data.md");
    let text = std::fs::read_to_string(document).unwrap();
    let (_, recipe) = text.split_once("in `r.toml`,").unwrap();
    let is_recipe = |line: &&str| line.is_empty() || line.starts_with("    ");
    let recipe: Vec<_> = recipe.trim_start_matches('\n').lines().take_while(is_recipe).collect();
    let recipe = load_text(&recipe.join("\n"), &[], &[]).unwrap().resolve(8, None).unwrap();
    assert_eq!((recipe.model.classes, recipe.data.val_resize_px), (1000, Some(256)));
}

#[test]
fn every_shipped_recipe_resolves() {
    let mut params = BTreeMap::new();
    for path in shipped_recipes() {
        let recipe = load(&path, std::iter::empty(), &[]).unwrap().resolve(1, None).unwrap();
        let side = i64::from(recipe.data.resolution_px);
        let summary = recipe.network().summary(1, side, side).unwrap();
        params.insert(path.file_stem().unwrap().to_str().unwrap().to_owned(), summary.params);
    }
    expect_test::expect![[r#"
        {
            "debug": 2162,
            "imagenette": 2319482,
            "imagenette_finetune": 2317637,
            "imagenette_regularised": 2319482,
            "regnet_x_16gf": 54278536,
            "regnet_x_1_6gf": 9190136,
            "regnet_x_32gf": 107811560,
            "regnet_x_3_2gf": 15296552,
            "regnet_x_400mf": 5495976,
            "regnet_x_800mf": 7259656,
            "regnet_x_8gf": 39572648,
            "regnet_y_16gf": 83590140,
            "regnet_y_1_6gf": 11202430,
            "regnet_y_32gf": 145046770,
            "regnet_y_3_2gf": 19436338,
            "regnet_y_400mf": 4344144,
            "regnet_y_800mf": 6432512,
            "regnet_y_8gf": 39381472,
            "regnetx": 5157512,
            "regnetx32_fashion_mnist": 179290,
            "regnetx32_fashion_mnist_quick": 179290,
            "regnetx32_fashion_mnist_tuned": 179290,
            "regnetx_12gf": 46106056,
            "regnetx_16gf": 54278536,
            "regnetx_1_6gf": 9190136,
            "regnetx_200mf": 2684792,
            "regnetx_32gf": 107811560,
            "regnetx_3_2gf": 15296552,
            "regnetx_400mf": 5157512,
            "regnetx_400mf_16": 5157512,
            "regnetx_400mf_32": 5157512,
            "regnetx_400mf_88": 5157512,
            "regnetx_4gf": 22118248,
            "regnetx_600mf": 6196040,
            "regnetx_6_4gf": 26209256,
            "regnetx_800mf": 7259656,
            "regnetx_8gf": 39572648,
            "regnety_12gf": 51822544,
            "regnety_16gf": 83590140,
            "regnety_1_6gf": 11202430,
            "regnety_1_6gf_16": 11202430,
            "regnety_1_6gf_32": 11202430,
            "regnety_1_6gf_88": 11202430,
            "regnety_200mf": 3162996,
            "regnety_32gf": 145046770,
            "regnety_3_2gf": 19436338,
            "regnety_400mf": 4344144,
            "regnety_4gf": 20646656,
            "regnety_600mf": 6055160,
            "regnety_6_4gf": 30583252,
            "regnety_800mf": 6263168,
            "regnety_8gf": 39180068,
        }"#]]
    .assert_eq(&format!("{params:#?}"));
}

/// The laptop command in the head of `regnetx.toml` runs a few small steps, without evaluation, which would take 90 seconds.
#[test]
fn a_look_on_a_laptop_is_a_few_small_steps() {
    let path = shipped_recipes().into_iter().find(|path| path.ends_with("regnetx.toml")).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let head = text.lines().take_while(|line| line.starts_with('#')).flat_map(|line| line.split(' '));
    let sets: Vec<_> = head.filter(|word| word.contains('=')).map(str::to_owned).collect();
    let recipe = load(&path, std::iter::empty(), &sets).unwrap().resolve(1, None).unwrap();
    assert_eq!((recipe.train.max_steps, recipe.eval.interval_epochs), (Some(3), 0));
    assert!(recipe.train.global_batch_size <= 16);
}

#[test]
fn every_shipped_recipe_says_its_command_hardware_and_expected_result() {
    for path in shipped_recipes() {
        let text = std::fs::read_to_string(&path).unwrap();
        let head: String = text.lines().take_while(|line| line.starts_with('#')).collect();
        let name = path.to_str().unwrap().rsplit_once("../").unwrap().1;
        for part in ["# command:", "# hardware:", "# expected:", name] {
            assert!(head.contains(part), "{name} starts without {part}");
        }
    }
}

#[test]
fn the_books_recipes_describe_regnetx32() {
    let books = shipped_recipes().into_iter().filter(|path| path.to_str().unwrap().contains("regnetx32"));
    for path in books {
        let recipe = load(&path, std::iter::empty(), &[]).unwrap().resolve(1, None).unwrap();
        assert_eq!(recipe.network(), regnetx32(1, 10), "{}", path.display());
    }
}
