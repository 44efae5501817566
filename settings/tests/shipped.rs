//! Every recipe in `configs/` loads, resolves and describes a network.

use std::collections::BTreeMap;

use regatta_anynet::regnetx32;
use regatta_settings::load;

use crate::support::shipped_recipes;

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
            "regnetx": 5157512,
            "regnetx32_fashion_mnist": 179290,
            "regnetx32_fashion_mnist_quick": 179290,
            "regnetx32_fashion_mnist_tuned": 179290,
        }"#]]
    .assert_eq(&format!("{params:#?}"));
}

#[test]
fn every_shipped_recipe_says_its_command_hardware_and_expected_result() {
    for path in shipped_recipes() {
        let text = std::fs::read_to_string(&path).unwrap();
        let head: String = text.lines().take_while(|line| line.starts_with('#')).collect();
        let name = path.file_name().unwrap().to_str().unwrap();
        for part in ["# command:", "# hardware:", "# expected:", &format!("configs/{name}")] {
            assert!(head.contains(part), "{name} starts without {part}");
        }
    }
}

#[test]
fn the_books_network_is_the_books() {
    let books = shipped_recipes().into_iter().filter(|path| path.to_str().unwrap().contains("regnetx32"));
    for path in books {
        let recipe = load(&path, std::iter::empty(), &[]).unwrap().resolve(1, None).unwrap();
        assert_eq!(recipe.network(), regnetx32(1, 10), "{}", path.display());
    }
}
