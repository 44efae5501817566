//! The files and output of a run, and the output of commands that do not train.

use std::fs;
use std::path::Path;

use expect_test::expect;
use regatta_run_folder::AttemptRecord;
use serde_json::Value;

use test_jobs::{TINY, Workdir, list, metrics};

#[test]
fn a_run_leaves_records_curves_and_checkpoints() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("x");
    let ended = workdir
        .train("--name x train.epochs=4 train.ema_decay=0.5 log.interval_steps=5")
        .ranks(2)
        .ends_with(0);
    let done = ended.stdout.trim();
    assert!(
        done.starts_with("done: best top-1 0.") && done.ends_with("after 4 epochs and 12 steps"),
        "{done}"
    );

    let names = list(run.path());
    assert_eq!(
        names,
        ["attempts", "checkpoints", "config.toml", "curves.svg", "log", "metrics.jsonl", "ranks"]
    );
    assert_eq!(list(&run.log_folder()), ["rank-0000.log", "rank-0001.log"]);
    for rank in [0, 1] {
        assert!(fs::read_to_string(run.log(rank)).unwrap().contains("2 ranks over"));
    }
    let record = AttemptRecord::read(&run.attempt(1)).unwrap();
    assert_eq!((record.start.world_size, record.end.unwrap().exit_code), (2, 0));
    assert!(fs::read_to_string(run.curves()).unwrap().starts_with("<svg"));

    // The two newest checkpoints and the best one are kept; the moving average adds a file to each.
    let best = fs::read_link(run.best()).unwrap().into_os_string().into_string().unwrap();
    let mut kept = vec!["best".to_owned(), best, "step-000000009".to_owned(), "step-000000012".to_owned()];
    kept.sort();
    kept.dedup();
    assert_eq!(list(&run.checkpoints()), kept);
    let files = list(&run.checkpoint(12));
    let expected = [
        "ema.safetensors",
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
        "recipe.toml",
        "state.json",
    ];
    assert_eq!(files, expected);
}

/// Temporary files of a killed process are removed at the next start.
#[test]
fn leftovers_of_killed_runs_are_removed() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    workdir.train("train.max_steps=1").ends_with(0);
    let before = list(run.path());
    for folder in [run.path().to_owned(), run.attempts(), run.ranks()] {
        fs::write(folder.join(".curves.svg.tmp-4711-0"), "half of a").unwrap();
    }
    fs::create_dir(run.checkpoints().join(".step-000000002.writing")).unwrap();
    workdir.train("--resume auto train.max_steps=2").ends_with(0);
    assert_eq!(list(run.path()), before);
    for folder in [run.attempts(), run.ranks(), run.checkpoints()] {
        assert!(list(&folder).iter().all(|name| !name.starts_with('.')), "{:?}", list(&folder));
    }
}

#[test]
fn a_file_in_place_of_the_run_folder_is_reported() {
    let workdir = Workdir::new(TINY);
    fs::create_dir(workdir.path().join("runs")).unwrap();
    fs::write(workdir.run("recipe").path(), "notes").unwrap();
    for options in ["", "--resume auto"] {
        workdir
            .train(options)
            .ranks(2)
            .ends_with(6)
            .says("error: runs/recipe: that is a file, but a run folder is expected here: move it away, or start the run with ");
    }
    workdir
        .train("run.folder=runs/recipe")
        .ends_with(6)
        .says("error: cannot look for runs/recipe/recipe: Not a directory");
    assert_eq!(fs::read_to_string(workdir.run("recipe").path()).unwrap(), "notes");
}

/// In every step one rank computes two of three micro-batches.
#[test]
fn a_straggler_is_named_once() {
    let workdir = Workdir::new(TINY);
    let options = "train.epochs=20 data.resolution_px=64 eval.interval_epochs=0 log.straggler_intervals=2";
    let named = |more: &str| {
        let ended = workdir.train(&format!("{options} {more}")).ranks(2).ends_with(0);
        (0..2)
            .map(|rank| ended.stderr.matches(&format!("rank {rank} is a straggler")).count())
            .collect::<Vec<_>>()
    };
    assert_eq!(named("--name one log.straggler_factor=1.1")[0], 1);
    assert_eq!(named("--name two log.straggler_factor=1e9"), [0, 0]);
}

#[test]
fn metrics_are_flat_objects_with_these_fields() {
    let workdir = Workdir::new(TINY);
    workdir.train("train.epochs=1 log.interval_steps=2").ends_with(0);
    workdir.train("--name ema train.epochs=1 log.interval_steps=100 train.ema_decay=0.5").ends_with(0);
    let line = |line: serde_json::Map<String, Value>| {
        let names: Vec<_> = line.keys().cloned().collect();
        format!("{} {}: {}\n", line["kind"], line["step"], names.join(" "))
    };
    let runs = ["recipe", "ema"].map(|name| metrics(&workdir.run(name)));
    let lines: String = runs.into_iter().flatten().map(line).collect();
    expect![[r#"
        "step" 2: schema kind epoch step images loss top1 lr grad_norm images_per_second seconds_since_start seconds_to_first_step seconds_data seconds_copy seconds_forward seconds_backward seconds_exposed_comm seconds_optimizer slowest_rank peak_rss_mib
        "epoch" 3: schema kind epoch step images train_loss train_top1 val_loss val_top1 val_top5 images_per_second seconds peak_rss_mib
        "epoch" 3: schema kind epoch step images train_loss train_top1 val_loss val_top1 val_top5 val_raw_top1 images_per_second seconds peak_rss_mib
    "#]].assert_eq(&lines);
}

#[test]
fn the_log_may_be_json_lines() {
    let workdir = Workdir::new(TINY);
    let ended = workdir.train("log.format=json").ends_with(0);
    let log = fs::read_to_string(workdir.run("recipe").log(0)).unwrap();
    for line in ended.stderr.lines().chain(log.lines()) {
        let object: Value = serde_json::from_str(line).unwrap();
        assert!(object["level"].is_string() && object["message"].is_string(), "{line}");
    }
    let quiet = workdir.train("--name quiet").variable("RUST_LOG", "error").ends_with(0);
    assert_eq!(quiet.stderr, "");
}

/// A resolved recipe, also that in the run folder, is a valid recipe that resolves to itself.
#[test]
fn resolved_recipes_load_again() {
    let workdir = Workdir::new(TINY);
    let print = |arguments: &[&str]| workdir.trainer(&[&["recipe"], arguments].concat()).ends_with(0).stdout;
    let resolved = print(&["--config", "recipe.toml", "--set", "optim.lr=0.25"]);
    for part in ["\nlr = 0.25\n", "[eval]\ninterval_epochs = 1\nbatch_size = 4\n"] {
        assert!(resolved.contains(part), "{part} in\n{resolved}");
    }
    fs::write(workdir.path().join("resolved.toml"), &resolved).unwrap();
    assert_eq!(print(&["--config", "resolved.toml"]), resolved);

    workdir.train("optim.lr=0.25").ends_with(0);
    assert_eq!(print(&["--config", "runs/recipe/config.toml"]), resolved);
    let kept = fs::read_to_string(workdir.run("recipe").config()).unwrap();
    assert!(kept.starts_with("# Resolved by regatta ") && kept.ends_with(&resolved), "{kept}");
    let libtorch = regatta_torch_ext::torch_version();
    assert!(kept.contains(&format!(", libtorch {libtorch}.\n\n")), "{kept}");
}

#[test]
fn the_schema_lists_every_key_with_type_default_and_description() {
    let workdir = Workdir::new(TINY);
    let schema = workdir.trainer(&["recipe", "--schema"]).ends_with(0).stdout;
    for part in
        ["[optim]\n", "optim.lr: a number; required\n    ", "train.global_batch_size: ", "; default 20\n"]
    {
        assert!(schema.contains(part), "{part} in\n{schema}");
    }
}

/// Parameters, FLOPs and activations of all networks of the paper.
#[test]
fn summary_gives_the_published_counts_of_the_papers_networks() {
    let published: Vec<Value> =
        serde_json::from_str(include_str!("../../crates/anynet/tests/published.json")).unwrap();
    assert_eq!(published.len(), 24);
    let workdir = Workdir::new(TINY);
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/imagenet/paper");
    for expected in published {
        let recipe = configs.join(format!("{}.toml", expected["name"].as_str().unwrap()));
        let summary = ["summary", "--config", recipe.to_str().unwrap(), "--json"];
        let json: Value = serde_json::from_str(&workdir.trainer(&summary).ends_with(0).stdout).unwrap();
        for count in ["params", "flops", "activations"] {
            assert_eq!(json[count], expected[count], "{count} of {}", expected["name"]);
        }
    }
}

#[test]
fn summary_gives_counts_memory_and_shapes_of_the_books_network() {
    let workdir = Workdir::new(TINY);
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/regnetx32_fashion_mnist.toml");
    let summary = ["summary", "--config", recipe.to_str().unwrap()];
    let json = workdir.trainer(&[&summary[..], &["--json"]].concat()).ends_with(0).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["params"], 179_290);
    assert!(json["flops"].as_u64() > Some(1_000_000) && json["activations"].as_u64() > Some(100_000));

    let table = workdir.trainer(&summary).ends_with(0).stdout;
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(table.ends_with(
        "\n\nmemory of one rank of 1: weights 0.7 MiB, gradients 0.7 MiB, optimizer 0.7 MiB; activations of 64 images in fp32, \
         estimated: forward 298.7 MiB, backward 36.0 MiB more\nimages loaded ahead: 3.4 MiB of host memory\n"
    ));
    assert_eq!(json["sizes"], serde_json::json!([{ "px": 96, "epochs": 10, "flops": json["flops"] }]));
    assert_eq!(json["memory"]["weights"], 4 * 179_290);
    // Six blocks of 64 images, each with 8 bytes of label and 32 of draws.
    assert_eq!(json["loader_bytes"], 6 * 64 * (96 * 96 + 40));
    let blocks: Vec<_> = table.lines().rev().skip(3).take(4).map(words).collect();
    assert_eq!(blocks, ["head 10", "s2 80x12x12", "s1 32x24x24", "stem 32x48x48"]);
}

#[test]
fn summary_gives_the_multiply_adds_of_every_size() {
    let list = "resolution = [{ after_epochs = 0, px = 16 }, { after_epochs = 1, px = 32 }]";
    let workdir = Workdir::new(&TINY.replace("resolution_px = 16", list));
    let text = workdir.trainer(&["summary", "--config", "recipe.toml"]).ends_with(0).stdout;
    let sizes: Vec<_> = text.lines().filter(|line| line.starts_with("images of")).collect();
    expect_test::expect![[r#"
        images of 16x16 in 1 epoch: 0.06 million multiply-adds
        images of 32x32 in 1 epoch: 0.25 million multiply-adds"#]]
    .assert_eq(&sizes.join("\n"));
}
