//! Grids, and what a key's value depends on.

use std::collections::BTreeSet;

use expect_test::expect;
use proptest::prelude::*;
use regatta_sweep::KeySampler;

use super::sampler;

fn lines(sampler: &KeySampler, count: u64) -> String {
    let line = |index| {
        let pairs: Vec<String> =
            sampler.draw(7, index).iter().map(|(key, value)| format!("{key} = {value}")).collect();
        pairs.join(", ")
    };
    (0..count).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn grids_are_walked_like_nested_loops_and_start_again() {
    let two = sampler("b = { grid = [1, 2, 3] }\na = { grid = ['x', 'y'] }");
    assert_eq!(two.grid_points(), 6);
    expect![[r#"
        a = "x", b = 1
        a = "x", b = 2
        a = "x", b = 3
        a = "y", b = 1
        a = "y", b = 2
        a = "y", b = 3
        a = "x", b = 1"#]]
    .assert_eq(&lines(&two, 7));
}

/// Sweeps name their trials by seed and index: the values must stay the same on every platform and in every version.
#[test]
fn values_of_a_seed_are_fixed() {
    let mixed = sampler(
        r#"
        "optim.lr" = { log_uniform = [0.01, 1.0] }
        "optim.momentum" = { uniform = [0.8, 1.0] }
        "optim.weight_decay" = { normal = { mean = 5e-5, std = 1e-5, min = 0.0 } }
        "train.batch_size" = { powers_of_two = [16, 256] }
        "network.depth" = { uniform = [4, 20], integer = true }
        "optim.nesterov" = { grid = [true, false] }
        "#,
    );
    expect![[r#"
        network.depth = 18, optim.lr = 0.068051667804988, optim.momentum = 0.9373181130168547, optim.nesterov = true, optim.weight_decay = 0.0000208775158565278, train.batch_size = 128
        network.depth = 14, optim.lr = 0.0502440535584353, optim.momentum = 0.9161242688092187, optim.nesterov = false, optim.weight_decay = 0.000059237787740305104, train.batch_size = 64
        network.depth = 9, optim.lr = 0.1946549005332121, optim.momentum = 0.8822122013726659, optim.nesterov = true, optim.weight_decay = 0.00004793880842702625, train.batch_size = 256"#]].assert_eq(&lines(&mixed, 3));
}

#[test]
fn an_empty_table_draws_nothing() {
    assert_eq!(sampler("").draw(1, 2), []);
    assert_eq!(sampler("").grid_points(), 1);
    assert_eq!(KeySampler::default().draw(1, 2), []);
}

const POOL: [&str; 6] = [
    "\"optim.lr\" = { log_uniform = [0.01, 1.0] }",
    "\"optim.l\" = { log_uniform = [0.01, 1.0] }",
    "\"a.key.longer.than.sixteen.bytes\" = { uniform = [0, 1] }",
    "\"a.key.longer.than.sixteen.byte2\" = { uniform = [0, 1] }",
    "n = { normal = { mean = 0, std = 1 } }",
    "c = { choice = [1, 2, 3] }",
];

proptest! {
    #[test]
    fn other_keys_do_not_change_a_value(subset in proptest::sample::subsequence(&POOL[..], 1..6), seed: u64, index: u64) {
        let all = sampler(&POOL.join("\n")).draw(seed, index);
        for pair in sampler(&subset.join("\n")).draw(seed, index) {
            prop_assert!(all.contains(&pair), "{:?} is not in {:?}", pair, all);
        }
    }

    #[test]
    fn each_key_seed_and_index_has_its_own_value(seed: u64, index in 0..u64::MAX) {
        let uniform = |key: &str, seed, index| {
            sampler(&format!("{key:?} = {{ uniform = [0, 1] }}")).draw(seed, index)[0].1.to_string()
        };
        let keys = ["a", "a.a", "b", "optim.lr", "optim.lr2", "optim.l"];
        let mut values: Vec<String> = keys.iter().map(|key| uniform(key, seed, index)).collect();
        values.push(uniform("a", seed.wrapping_add(1), index));
        values.push(uniform("a", seed, index + 1));
        prop_assert_eq!(values.iter().collect::<BTreeSet<_>>().len(), values.len());
    }

    #[test]
    fn a_walk_over_a_grid_has_each_point_once(lengths in proptest::collection::vec(1_usize..5, 1..5), start in 0_u64..1_000) {
        let grid = |(key, length): (usize, &usize)| format!("k{key} = {{ grid = {:?} }}", (0..*length).collect::<Vec<_>>());
        let table: Vec<String> = lengths.iter().enumerate().map(grid).collect();
        let sampler = sampler(&table.join("\n"));
        let points = lengths.iter().product::<usize>() as u64;
        prop_assert_eq!(sampler.grid_points(), points);
        let walk = (start..start + points).map(|index| format!("{:?}", sampler.draw(index, index)));
        prop_assert_eq!(walk.collect::<BTreeSet<_>>().len() as u64, points);
        prop_assert_eq!(sampler.draw(3, start), sampler.draw(4, start + points));
    }

    #[test]
    fn values_lie_in_their_ranges(low in -1e3..1e3_f64, width in 1e-3..1e3_f64, seed: u64, index: u64) {
        let high = low + width;
        let table = format!(
            "u = {{ uniform = [{low:?}, {high:?}] }}\nl = {{ log_uniform = [{:?}, {:?}] }}\n\
             n = {{ normal = {{ mean = {low:?}, std = {width:?}, min = {low:?}, max = {high:?} }} }}\n\
             i = {{ uniform = [{}, {}], integer = true }}",
            width, width * 2.0, low.floor(), high.ceil() + 1.0
        );
        let ranges = [("i", low.floor()..=high.ceil() + 1.0), ("l", width..=width * 2.0), ("n", low..=high), ("u", low..=high)];
        for ((key, value), (expected, range)) in sampler(&table).draw(seed, index).iter().zip(ranges) {
            prop_assert_eq!(key, expected);
            let number = value.as_float().or(value.as_integer().map(|it| it as f64)).unwrap();
            prop_assert!(range.contains(&number), "{} = {}", key, number);
        }
    }
}
