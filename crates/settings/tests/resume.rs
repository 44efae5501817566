//! Keys that may and may not differ when a run is resumed.

use std::path::Path;

use regatta_settings::Recipe;

use crate::support::{REGNET, SMALL, load_text, resolved};

#[test]
fn differences_are_named_key_by_key() {
    let kept = resolved(SMALL, &[]);
    let sets = [
        "optim.lr=0.05",
        "schedule.name=cosine",
        "model.anynet.stages=[{depth=1,width=32,group_width=16},{depth=2,width=80,group_width=16}]",
        "data.mean=[0.5]",
        "train.micro_batch_size=64",
    ];
    let lines = kept.differences(&resolved(SMALL, &sets)).join("\n");
    expect_test::expect![[r#"
        data.mean: [0.286] -> [0.5]
        model.anynet.stages[1].width: 64 -> 80
        optim.lr: 0.1 -> 0.05
        schedule.final_lr_fraction: unset -> 0.0
        schedule.name: "constant" -> "cosine"
        train.micro_batch_size: 128 -> 64"#]]
    .assert_eq(&lines);
}

/// Recipes resolved by versions with one weight decay for BatchNorm and biases.
#[test]
fn a_recipe_with_the_former_key_of_weight_decay_is_understood() {
    let recipe = resolved(SMALL, &["optim.weight_decay_norm=0.25", "optim.weight_decay_bias=0.25"]);
    let now = "weight_decay_norm = 0.25\nweight_decay_bias = 0.25\n";
    let text = recipe.to_toml();
    assert!(text.contains(now), "{text}");
    let former = text.replace(now, "  weight_decay_norm_bias=0.25 # as before\n");
    let parse = |text: &str| Recipe::parse(Path::new("config.toml"), text);
    assert_eq!(parse(&former).unwrap().to_toml(), text);
    let line = |text: &str| text.lines().position(|line| line.starts_with("[schedule]")).unwrap();
    let error = parse(&former.replace("[schedule]", "[skedule]")).unwrap_err().to_string();
    assert!(error.starts_with(&format!("config.toml:{}:", line(&former) + 1)), "{error}");
}

#[test]
fn keys_that_may_differ_on_resume() {
    let kept = resolved(REGNET, &[]);
    let sets = [
        "train.max_steps=3",
        "train.threads_per_rank=2",
        "train.cuda_graph=false",
        "eval.batch_size=7",
        "checkpoint.keep=9",
        "comm.backend=mpi",
        "log.format=json",
        "run.folder=elsewhere",
    ];
    let other = resolved(REGNET, &sets);
    assert_eq!(kept.differences(&other), Vec::<String>::new());
    expect_test::expect![[r#"
        checkpoint.keep: 2 -> 9
        comm.backend: "auto" -> "mpi"
        eval.batch_size: 64 -> 7
        log.format: "text" -> "json"
        run.folder: "runs" -> "elsewhere"
        train.cuda_graph: true -> false
        train.max_steps: unset -> 3
        train.threads_per_rank: 0 -> 2"#]]
    .assert_eq(&kept.changes(&other).join("\n"));
}

/// A longer run keeps its learning-rate schedule, unless that is set again.
#[test]
fn an_extended_run_keeps_its_schedule() {
    let cosine = ["schedule.name=cosine", "schedule.warmup_epochs=2"];
    let kept = resolved(SMALL, &cosine);
    assert_eq!(kept.schedule.epochs, 10);
    let extended = |more: &[&str]| {
        let raw = load_text(SMALL, &[], &[&cosine, more].concat()).unwrap();
        raw.resolve(1, Some(&kept)).unwrap()
    };
    let longer = extended(&["train.epochs=20"]);
    assert_eq!(longer.schedule.epochs, 10);
    assert_eq!(kept.differences(&longer), Vec::<String>::new());
    assert_eq!(kept.changes(&longer), ["train.epochs: 10 -> 20"]);
    // Shorter than the warm-up, which is part of the course.
    assert_eq!(extended(&["train.epochs=1"]).schedule.epochs, 10);
    let stretched = extended(&["train.epochs=20", "schedule.epochs=20"]);
    assert_eq!(kept.changes(&stretched), ["schedule.epochs: 10 -> 20", "train.epochs: 10 -> 20"]);
}
