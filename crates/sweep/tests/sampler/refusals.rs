//! Tables that are refused, with key, value and remedy.

use expect_test::{Expect, expect};
use regatta_sweep::KeySampler;

fn check(table: &str, expected: Expect) {
    let table: toml::Table = toml::from_str(table).expect("TOML");
    expected.assert_eq(&KeySampler::new(&table).expect_err("a refusal").to_string());
}

#[test]
fn tables_that_are_not_one_distribution() {
    check(
        "'optim.lr' = 0.1",
        expect![
            "optim.lr is 0.1, must be a distribution such as { choice = [0.1] }; a value that all trials share belongs in the base recipe"
        ],
    );
    check(
        "optim.lr = { uniform = [0, 1] }",
        expect![[r#"optim is a table of keys, must be one key in quotes: "optim.lr" = { ... }"#]],
    );
    check(
        "k = {}",
        expect![
            "k has no distribution, must have one of uniform, log_uniform, powers_of_two, normal, choice, grid"
        ],
    );
    check(
        "k = { integer = true }",
        expect![
            "k has no distribution, must have one of uniform, log_uniform, powers_of_two, normal, choice, grid"
        ],
    );
    check(
        "k = { uniform = [0, 1], choice = [1] }",
        expect![
            "k has uniform and choice, must have one of uniform, log_uniform, powers_of_two, normal, choice, grid"
        ],
    );
    check(
        "k = { unifrom = [0, 1] }",
        expect![
            "k: unknown field `unifrom`, expected one of `uniform`, `log_uniform`, `powers_of_two`, `normal`, `choice`, `grid`, `integer`"
        ],
    );
    check(
        "k = { uniform = [0, 1, 2] }",
        expect!["k: invalid length 3, expected fewer elements in array in `uniform`"],
    );
    check(
        "k = { uniform = 'wide' }",
        expect![[r#"k: invalid type: string "wide", expected an array of length 2 in `uniform`"#]],
    );
    check(
        "k = { normal = { mean = 0, std = 1, maximum = 2 } }",
        expect!["k: unknown field `maximum`, expected one of `mean`, `std`, `min`, `max` in `normal`"],
    );
    check("k = { normal = { std = 1 } }", expect!["k: missing field `mean` in `normal`"]);
    check(
        "k = { choice = [1], integer = true }",
        expect!["k: integer is true, must be left out: only uniform and log_uniform have it"],
    );
}

#[test]
fn impossible_ranges() {
    check(
        "'optim.lr' = { uniform = [1.0, 0.5] }",
        expect!["optim.lr: uniform is [1.0, 0.5], must be from the smaller to the larger: [0.5, 1.0]"],
    );
    check(
        "k = { uniform = [1, 1] }",
        expect![
            "k: uniform is [1.0, 1.0], must be from a smaller to a larger number; a value that all trials share belongs in the base recipe"
        ],
    );
    check(
        "k = { uniform = [0, inf] }",
        expect!["k: uniform is [0.0, inf], must be two finite numbers, and so must be their difference"],
    );
    check(
        "k = { uniform = [0, nan] }",
        expect!["k: uniform is [0.0, NaN], must be two finite numbers, and so must be their difference"],
    );
    check(
        "k = { uniform = [-1e308, 1e308] }",
        expect!["k: uniform is [-1e308, 1e308], must be two finite numbers, and so must be their difference"],
    );
    check(
        "k = { uniform = [0.5, 3], integer = true }",
        expect!["k: uniform is [0.5, 3.0], must be two whole numbers below 2^53, as integer is true"],
    );
    check(
        "k = { uniform = [0, 1e300], integer = true }",
        expect!["k: uniform is [0.0, 1e300], must be two whole numbers below 2^53, as integer is true"],
    );
    check(
        "k = { log_uniform = [0, 1] }",
        expect![
            "k: log_uniform is [0.0, 1.0], must be above 0 at both ends: a logarithm has no value at or below 0"
        ],
    );
    check(
        "k = { log_uniform = [0.5, 4], integer = true }",
        expect!["k: log_uniform is [0.5, 4.0], must be two whole numbers below 2^53, as integer is true"],
    );
    check(
        "k = { powers_of_two = [10, 256] }",
        expect!["k: powers_of_two is [10, 256], must be two powers of two, such as [16, 256]"],
    );
    check(
        "k = { powers_of_two = [-4, 4] }",
        expect!["k: powers_of_two is [-4, 4], must be two powers of two, such as [16, 256]"],
    );
    check(
        "k = { powers_of_two = [256, 16] }",
        expect!["k: powers_of_two is [256, 16], must be from the smaller to the larger: [16, 256]"],
    );
    check(
        "k = { powers_of_two = [8, 8] }",
        expect![
            "k: powers_of_two is [8, 8], must be from a smaller to a larger number; a value that all trials share belongs in the base recipe"
        ],
    );
}

#[test]
fn impossible_normals_and_lists() {
    check(
        "k = { normal = { mean = nan, std = 1 } }",
        expect!["k: normal.mean is NaN, must be a finite number"],
    );
    check(
        "k = { normal = { mean = 0, std = 0 } }",
        expect![
            "k: normal.std is 0.0, must be above 0 and far from the largest double; a value that all trials share belongs in the base recipe"
        ],
    );
    check(
        "k = { normal = { mean = 0, std = 1e308 } }",
        expect![
            "k: normal.std is 1e308, must be above 0 and far from the largest double; a value that all trials share belongs in the base recipe"
        ],
    );
    check(
        "k = { normal = { mean = 0, std = 1, min = 2, max = 1 } }",
        expect!["k: normal.min is 2.0, must be below normal.max, which is 1.0"],
    );
    check(
        "k = { normal = { mean = 0, std = 1, min = 5 } }",
        expect![
            "k: the window of normal is from 5.0 to inf, must be wide enough to keep 0.1 % of the numbers of mean 0.0 and standard deviation 1.0, but keeps 0.00 %"
        ],
    );
    check(
        "k = { normal = { mean = 0, std = 1, max = nan } }",
        expect![
            "k: the window of normal is from -inf to NaN, must be wide enough to keep 0.1 % of the numbers of mean 0.0 and standard deviation 1.0, but keeps 0.00 %"
        ],
    );
    check("k = { choice = [] }", expect!["k: choice is [], must be a list of at least one value"]);
    check("k = { grid = [] }", expect!["k: grid is [], must be a list of at least one value"]);
    let grids: Vec<String> = (0..64).map(|key| format!("k{key} = {{ grid = [1, 2] }}")).collect();
    check(
        &grids.join("\n"),
        expect![
            "the grids together have more than 18446744073709551615 points, must have fewer: shorten one, or draw it by choice"
        ],
    );
}

#[test]
fn a_sweep_file_is_refused_with_the_place() {
    #[derive(Debug, serde::Deserialize)]
    struct File {
        #[serde(rename = "keys")]
        _keys: KeySampler,
    }
    let error =
        toml::from_str::<File>("[keys]\n'optim.lr' = { log_uniform = [-1, 1] }\n").expect_err("a refusal");
    expect![[r#"
        TOML parse error at line 1, column 1
          |
        1 | [keys]
          | ^^^^^^
        optim.lr: log_uniform is [-1.0, 1.0], must be above 0 at both ends: a logarithm has no value at or below 0
    "#]].assert_eq(&error.to_string());
}
