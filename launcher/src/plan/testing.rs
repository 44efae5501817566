//! Recipes for tests.

use std::path::Path;

use regatta_settings::{Recipe, load};

/// The book's RegNetX32 in a world of one rank, with these keys set.
pub(crate) fn recipe(sets: &[&str]) -> Recipe {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/regnetx32_fashion_mnist.toml");
    let sets: Vec<_> = sets.iter().map(|&set| set.to_owned()).collect();
    load(&path, std::iter::empty(), &sets).unwrap().resolve(1, None).unwrap()
}
