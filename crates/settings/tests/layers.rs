//! Defaults < file < environment < `--set`, and how their values are spelled.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::Parser;
use proptest::prelude::*;
use regatta_settings::{Device, OptimizerName, OptionalRecipeArgs, RecipeArgs, Resume};

use crate::support::{SMALL, load_text};

#[test]
fn a_higher_layer_wins() {
    let lr = |env: &[(&str, &str)], sets: &[&str]| load_text(SMALL, env, sets).unwrap().optim.lr;
    assert_eq!(lr(&[], &[]), 0.1);
    assert_eq!(lr(&[("REGATTA__OPTIM__LR", "0.2"), ("HOME", "/")], &[]), 0.2);
    assert_eq!(lr(&[("REGATTA__OPTIM__LR", "0.2")], &["optim.lr=0.3"]), 0.3);
    assert_eq!(lr(&[], &["optim.lr=0.3", "optim.lr = 0.4"]), 0.4, "the last --set wins");
    assert_eq!(load_text(SMALL, &[], &[]).unwrap().optim.momentum, 0.0, "a default stays");
}

#[test]
fn overrides_are_toml_values_or_bare_words() {
    let sets = [
        "optim.name=adamw",
        "train.device=\"cpu\"",
        "optim.lr=1",
        "data.mean=[0.5]",
        "data.folder=/data/fashion mnist",
        "train.drop_last=true",
        "run.folder=a\"b",
    ];
    let raw = load_text(SMALL, &[("REGATTA__TRAIN__SEED", "7")], &sets).unwrap();
    assert_eq!(raw.optim.name, Some(OptimizerName::AdamW));
    assert_eq!(raw.train.device, Device::Cpu);
    assert_eq!(raw.optim.lr, 1.0);
    assert_eq!(raw.data.mean, Some(vec![0.5]));
    assert_eq!(raw.data.folder, Some(PathBuf::from("/data/fashion mnist")));
    assert!(raw.train.drop_last);
    assert_eq!(raw.run.folder, PathBuf::from("a\"b"));
    assert_eq!(raw.train.seed, 7);
}

#[test]
fn an_override_sets_one_key_only() {
    let refused = load_text(SMALL, &[], &["optim.lr=1\ntrain.seed=2"]);
    assert!(refused.is_err_and(|error| error.to_string().contains("optim.lr = ")));
}

#[test]
fn a_list_replaces_the_list_below() {
    let set = "model.anynet.stages=[{depth=3,width=16,group_width=8}]";
    let stages = load_text(SMALL, &[], &[set]).unwrap().model.anynet.stages;
    assert_eq!(stages.len(), 1);
    assert_eq!((stages[0].depth, stages[0].stride, stages[0].bottleneck_ratio), (3, None, 1.0));
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    recipe: RecipeArgs,
}

#[test]
fn the_command_line_is_read() {
    let plain = Cli::parse_from(["trainer", "--config", "configs/book.toml"]).recipe;
    assert_eq!((plain.run_name().unwrap(), plain.resume), ("book".to_owned(), Resume::Never));
    let full = "trainer --config a.toml --set optim.lr=-1 --set train.seed=2 --resume runs/a --name trial7";
    let full = Cli::parse_from(full.split(' ')).recipe;
    assert_eq!(full.set, ["optim.lr=-1", "train.seed=2"]);
    assert_eq!(full.resume, Resume::Path(PathBuf::from("runs/a")));
    assert_eq!(full.run_name().unwrap(), "trial7");
    for name in ["", "..", "a/b", ".hidden", "a\nb", "a\u{1b}b", &"x".repeat(201)] {
        let cli = Cli::try_parse_from(["trainer", "--config", "a.toml", "--name", name]);
        assert!(cli.is_err(), "{name:?} is no run's name");
    }
}

#[derive(Parser)]
struct OptionalCli {
    #[command(flatten)]
    recipe: OptionalRecipeArgs,
}

proptest! {
    /// A process that is started with the arguments has the options that they were made of.
    #[test]
    fn arguments_are_read_as_the_options_that_they_were_made_of(
        config in "[-./a-z \"']{1,8}",
        set in proptest::collection::vec("[-a-z=.\" \n$]{0,8}", 0..3),
        resume in "auto|never|[-./a-z ]{1,8}",
        name in proptest::option::of("[-a-z ]{1,8}"),
    ) {
        let resume = resume.parse().unwrap();
        let options = RecipeArgs { config: config.into(), set, resume, name };
        let arguments = [vec!["trainer".to_owned()], options.to_arguments()].concat();
        prop_assert_eq!(&Cli::parse_from(arguments).recipe, &options);

        let RecipeArgs { config, set, .. } = options;
        for options in [
            OptionalRecipeArgs { config: Some(config), set },
            OptionalRecipeArgs { config: None, set: Vec::new() },
        ] {
            let arguments = [vec!["doctor".to_owned()], options.to_arguments()].concat();
            prop_assert_eq!(&OptionalCli::parse_from(arguments).recipe, &options);
        }
    }
}

/// A recipe's file name is checked like `--name`.
#[test]
fn a_runs_name_from_its_recipe_is_checked_as_well() {
    let name = |config: &OsStr| {
        let args = [OsStr::new("trainer"), OsStr::new("--config"), config];
        Cli::parse_from(args).recipe.run_name()
    };
    assert_eq!(name(OsStr::new("folder.d/my recipe.v2.toml")).unwrap(), "my recipe.v2");
    let long = "x".repeat(300);
    let wrong = ["...toml", "..toml", "folder/...toml", ".hidden.toml", "a\nb.toml", "a\\b.toml", &long, "/"];
    for config in wrong.map(OsStr::new).into_iter().chain([OsStr::from_bytes(b"\xff.toml")]) {
        let refused = name(config).unwrap_err().to_string();
        assert!(refused.contains("the run is named after the recipe file"), "{config:?}: {refused}");
        assert!(refused.ends_with("choose a name with --name"), "{config:?}: {refused}");
    }
    let args = ["trainer", "--config", "...toml", "--name", "x"];
    assert_eq!(Cli::parse_from(args).recipe.run_name().unwrap(), "x");
}
