//! Sweep files: what they mean, and the errors of wrong ones.

use std::path::Path;

use expect_test::{Expect, expect};
use regatta_sweep::{Mode, SweepFile};

const STUDY: &str = r#"
mode = "study"
recipe = "recipe.toml"
samples = 24

[limits]
flops = [3_600_000, 4_400_000]

[[space]]
draw = "anynet_x_a"

[[space]]
name = "RegNetX, two rates"
draw = "regnet_x"
samples = 8
"#;

fn parse(text: &str) -> Result<SweepFile, String> {
    SweepFile::parse(Path::new("s.toml"), text).map_err(|error| error.to_string())
}

#[test]
fn a_study_has_spaces_with_their_samples() {
    let file = parse(STUDY).unwrap();
    assert_eq!(
        (file.mode, file.names()),
        (Mode::Study, vec!["anynet_x_a".into(), "RegNetX, two rates".into()])
    );
    assert_eq!((file.samples_of(0), file.samples_of(1)), (24, 8));
    assert_eq!(file.spaces[1].slug(), "regnetx__two_rates");
    assert_eq!(file.seeds_of(5), 1);
    let seeds = format!("seeds_per_sample = 2\nsamples_with_all_seeds = 6\n{STUDY}");
    let file = parse(&seeds).unwrap();
    assert_eq!((file.seeds_of(5), file.seeds_of(6)), (2, 1));
}

#[test]
fn results_stay_comparable_when_a_sweep_grows() {
    let earlier = parse(STUDY).unwrap();
    let differs =
        |from: &str, to: &str| parse(&STUDY.replacen(from, to, 1)).unwrap().difference_from(&earlier);
    assert_eq!(differs("samples = 24", "samples = 48"), None);
    assert_eq!(
        differs("samples = 8\n", "samples = 8\n\n[[space]]\ndraw = \"mlp\"\n"),
        None,
        "one more space"
    );
    assert_eq!(differs("[limits]", "[start]\nslots = 4\n\n[limits]"), None);
    assert_eq!(differs("samples = 24", "samples = 24\nseed = 1"), Some("seed"));
    assert_eq!(differs("4_400_000", "4_400_001"), Some("limits"));
    assert_eq!(differs("\"regnet_x\"", "\"regnet_y\""), Some("space"));
    assert_eq!(differs("[limits]", "[start]\nranks = 2\n\n[limits]"), Some("start.ranks"));
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&parse(text).unwrap_err());
}

/// Checks the error of the study with one text replaced.
fn check_with(from: &str, to: &str, expected: Expect) {
    assert!(STUDY.contains(from), "{from}");
    check(&STUDY.replacen(from, to, 1), expected);
}

#[test]
fn wrong_files_are_rejected_with_line_key_and_remedy() {
    check("mode = ", expect!["s.toml:1: string values must be quoted, expected literal string, in: mode ="]);
    check_with(
        "samples = 24",
        "sampels = 24",
        expect![
            "s.toml:4: unknown field `sampels`, expected one of `mode`, `recipe`, `set`, `folder`, `samples`, `seed`, `seeds_per_sample`, `samples_with_all_seeds`, `limits`, `space`, `search`, `start`, in: sampels = 24"
        ],
    );
    check_with(
        "\"study\"",
        "\"studie\"",
        expect![[r#"s.toml:2: unknown variant `studie`, expected `study` or `search`, in: mode = "studie""#]],
    );
    check_with("samples = 24", "samples = 0", expect!["s.toml:4: samples = 0, must be from 1 to 1000000"]);
    check_with(
        "samples = 24",
        "samples = \"many\"",
        expect![[r#"s.toml:4: invalid type: string "many", expected a whole number, in: samples = "many""#]],
    );
    check_with(
        "\"anynet_x_a\"",
        "\"anynet_a\"",
        expect![[
            r#"s.toml:10: unknown variant `anynet_a`, expected one of `anynet_x_a`, `anynet_x_b`, `anynet_x_c`, `anynet_x_d`, `anynet_x_e`, `regnet_x`, `regnet_y`, `vio_widths`, `vio_depths`, `vio_groups`, `vio_bottlenecks`, `mlp`, in: draw = "anynet_a""#
        ]],
    );
    check_with(
        "[3_600_000, 4_400_000]",
        "[4_400_000, 3_600_000]",
        expect!["s.toml:7: limits.flops = [4400000, 3600000], must be the smallest and the largest value"],
    );
    check_with(
        "[3_600_000, 4_400_000]",
        "4_400_000",
        expect![
            "s.toml:7: invalid type: integer `4400000`, expected a list of the smallest and the largest value, in: flops = 4_400_000"
        ],
    );
    check_with(
        "samples = 8",
        "samples = 8\nlimits = { depth = [9, 3] }",
        expect!["s.toml:16: space[1].limits.depth = [9, 3], must be the smallest and the largest value"],
    );
    check_with(
        "name = \"RegNetX, two rates\"",
        "name = \"anynet_x_a\"",
        expect![[r#"s.toml:13: two spaces are called "anynet_x_a": give each [[space]] a name of its own"#]],
    );
    check_with(
        "draw = \"regnet_x\"\n",
        "block = \"vanilla\"\n",
        expect![
            "s.toml:14: block replaces that of drawn networks, but draw is not set: set model.anynet.block"
        ],
    );
    check_with(
        "[limits]",
        "[start]\nslots = 0\n\n[limits]",
        expect!["s.toml:7: start.slots = 0, must be at least 1: leave it out for one a core or GPU"],
    );
    check(
        "mode = \"study\"\nrecipe = \"r.toml\"\nsamples = 1\nspace = []",
        expect![[r#"s.toml:4: there is no [[space]]: add at least one, such as draw = "regnet_x""#]],
    );
    check_with(
        "draw = \"anynet_x_a\"",
        "draw = \"anynet_x_a\"\nsample = { \"optim.lr\" = { log_uniform = [1.0, 0.1] } }",
        expect![[
            r#"s.toml:11: optim.lr: log_uniform is [1.0, 0.1], must be from the smaller to the larger: [0.1, 1.0], in: sample = { "optim.lr" = { log_uniform = [1.0, 0.1] } }"#
        ]],
    );
}

#[test]
fn a_study_does_not_stop_networks_early() {
    check_with(
        "[limits]",
        "[search]\nmethod = \"asha\"\n\n[limits]",
        expect![[
            r#"s.toml:6: mode is "study", which trains every network to its end, since stopping bad ones early would cut off the distribution of errors: leave [search] out, or set mode = "search""#
        ]],
    );
}

const SEARCH: &str = r#"
mode = "search"
recipe = "recipe.toml"
samples = 81

[search]
method = "asha"
reduction = 3

[[space]]
draw = "regnet_x"
"#;

#[test]
fn a_search_has_a_method_and_one_space() {
    assert_eq!(parse(SEARCH).unwrap().search.unwrap().min_epochs, 1);
    let without = SEARCH.replace("[search]\nmethod = \"asha\"\nreduction = 3\n", "");
    check(
        &without,
        expect![[r#"s.toml:2: mode is "search", which needs [search] with a method, such as "asha""#]],
    );
    check(
        &format!("{SEARCH}\n[[space]]\ndraw = \"regnet_y\"\n"),
        expect!["s.toml:10: a search draws from one [[space]], not 2"],
    );
    check(
        &SEARCH.replace("samples = 81", "samples = 81\nseeds_per_sample = 2"),
        expect!["s.toml:5: a search trains each network with one seed: leave seeds_per_sample out"],
    );
    check(
        &SEARCH.replace("\"asha\"", "\"hyperband\""),
        expect![[
            r#"s.toml:7: unknown variant `hyperband`, expected one of `asha`, `successive_halving`, `random`, in: method = "hyperband""#
        ]],
    );
}

#[test]
fn what_is_no_file_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let error = SweepFile::read(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("it is a folder; a sweep file is a text file"), "{error}");
    let missing = SweepFile::read(&folder.path().join("none.toml")).unwrap_err();
    assert!(missing.to_string().starts_with("cannot read the sweep file"), "{missing}");
}
