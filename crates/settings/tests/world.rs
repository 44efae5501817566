//! The world size: how it cuts a global batch, and which worlds are refused.

use regatta_settings::RecipeError;

use crate::support::{SMALL, load_text, message, resolved};

fn micro_batch_size(world_size: usize, sets: &[&str]) -> Result<usize, RecipeError> {
    let recipe = load_text(SMALL, &[], sets).unwrap().resolve(world_size, None)?;
    Ok(recipe.train.micro_batch_size)
}

#[test]
fn an_unset_micro_batch_is_a_ranks_share_rounded_up() {
    for (world_size, expected) in [(1, 128), (2, 64), (3, 43), (128, 1)] {
        assert_eq!(micro_batch_size(world_size, &[]).unwrap(), expected, "{world_size} ranks");
    }
    assert_eq!(micro_batch_size(2, &["train.micro_batch_size=32"]).unwrap(), 32, "a typed one stays");
}

#[test]
fn a_resumed_run_keeps_its_micro_batch() {
    let kept = load_text(SMALL, &[], &[]).unwrap().resolve(4, None).unwrap();
    let size = |world_size, sets: &[&str]| {
        load_text(SMALL, &[], sets).unwrap().resolve(world_size, Some(&kept)).unwrap().train.micro_batch_size
    };
    assert_eq!(size(1, &[]), 32);
    assert_eq!(size(4, &[]), 32);
    assert_eq!(size(1, &["train.micro_batch_size=16"]), 16, "a typed one stays");
    let other_batch = size(1, &["train.global_batch_size=64"]);
    assert_eq!(other_batch, 64, "another batch is another run");
}

#[test]
fn the_evaluation_batch_is_the_micro_batch_unless_set() {
    let batch_size = |sets: &[&str]| resolved(SMALL, sets).eval.batch_size;
    assert_eq!(batch_size(&["train.micro_batch_size=32"]), 32);
    assert_eq!(batch_size(&["eval.batch_size=500"]), 500);
}

#[test]
fn more_ranks_than_micro_batches_are_refused_with_the_sizes_that_fit() {
    let cases: [(usize, &[&str]); 4] = [
        (3, &["train.micro_batch_size=64"]),
        (6, &["train.global_batch_size=10"]),
        (129, &[]),
        (2, &["comm.backend=single"]),
    ];
    let messages: Vec<String> = cases
        .iter()
        .map(|(world_size, sets)| message(&micro_batch_size(*world_size, sets).unwrap_err()))
        .collect();
    expect_test::expect![[r#"
        --set train.micro_batch_size=64: 3 ranks, but train.global_batch_size = 128 in micro-batches of train.micro_batch_size = 64 makes only 2: train.micro_batch_size from 1 to 63 fits
        recipe.toml: 6 ranks, but train.global_batch_size = 10 in micro-batches of train.micro_batch_size = 2 makes only 5: only train.micro_batch_size = 1 fits
        recipe.toml: 129 ranks, but train.global_batch_size = 128 in micro-batches of train.micro_batch_size = 1 makes only 128: use at most 128 ranks, or a train.global_batch_size of at least 129
        --set comm.backend=single: comm.backend = "single" is for exactly one rank, but 2 were started: set comm.backend to "auto" or "mpi", or start one"#]].assert_eq(&messages.join("\n"));
}

#[test]
fn the_sizes_that_fit_are_exactly_those_named() {
    let raw = load_text(SMALL, &[], &[]).unwrap();
    for world_size in 2..=12 {
        for global in 1..=30 {
            let fits = |micro| {
                let mut raw = raw.clone();
                raw.train.global_batch_size = global;
                raw.train.micro_batch_size = micro;
                raw.resolve(world_size, None).is_ok()
            };
            let largest = (1..=global).rev().find(|&micro| fits(micro));
            let named = (world_size <= global).then(|| (global - 1) / (world_size - 1));
            assert_eq!(largest, named, "{world_size} ranks, batch {global}");
            assert!((1..=largest.unwrap_or(0)).all(fits), "{world_size} ranks, batch {global}");
        }
    }
}
