//! What may change when a run continues, above all its length.

use std::fs;
use std::path::Path;

use regatta_run_folder::{CheckpointWriter, RunFolder};

use test_jobs::{TINY, Workdir, list, metrics};

use crate::resume::check_equal;

/// An extended run equals, bit for bit, one that had that length from the start.
#[test]
fn a_finished_run_may_be_extended() {
    for ranks in [1, 2] {
        let workdir = Workdir::new(TINY);
        let options =
            "checkpoint.keep=100 checkpoint.interval_steps=1 schedule.name=cosine schedule.epochs=5";
        workdir.train(&format!("--name parts {options}")).ranks(ranks).ends_with(0);
        workdir
            .train(&format!("--name parts --resume auto {options} train.epochs=4 log.straggler_intervals=0"))
            .ranks(ranks)
            .ends_with(0)
            .says("the recipe is changed: train.epochs: 2 -> 4\n")
            .says("the recipe is changed: log.straggler_intervals: 5 -> 0\n")
            .says("the learning rate continues at 0.03273 in epoch 3 of 4\n");
        workdir.train(&format!("--name whole {options} train.epochs=4")).ranks(ranks).ends_with(0);
        check_equal(&workdir, "whole", "parts");
    }
}

/// The learning-rate curve stays that of the first start unless `schedule.epochs` is changed; other changes are rejected.
#[test]
fn an_extension_keeps_the_schedule() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    let done = "done: best top-1 ";
    workdir.train("schedule.name=cosine").ends_with(0);
    let ended = workdir.train("--resume auto schedule.name=cosine").ends_with(0);
    let first = "nothing left to do: train.epochs = 2 was already reached; set a larger value to continue\n";
    assert!(ended.stdout.starts_with(&format!("{first}{done}")), "{ended}");
    let longer = "--resume auto schedule.name=cosine train.epochs=3";
    workdir.train(&format!("{longer} optim.lr=0.5")).ends_with(2).says("or undo:\n  optim.lr: 0.05 -> 0.5\n");
    let ended = workdir.train(longer).ends_with(0).says(
        "the learning rate stays at 0.00000 after epoch 2 (schedule.epochs), up to epoch 3; --set schedule.epochs=3 spans them all",
    );
    assert!(ended.stdout.starts_with(done), "{ended}");
    assert!(metrics(&run).iter().rev().find(|line| line["kind"] == "step").unwrap()["lr"] == 0.0);
    let stretched = "--resume auto schedule.name=cosine train.epochs=4 schedule.epochs=4";
    let ended =
        workdir.train(stretched).ends_with(0).says("the recipe is changed: schedule.epochs: 2 -> 4\n");
    assert!(!ended.stderr.contains("stays at"), "{ended}");
    let ended =
        workdir.train("--resume auto schedule.name=cosine train.max_steps=6 train.epochs=4").ends_with(0);
    assert!(
        ended.stdout.starts_with("nothing left to do: train.max_steps = 6 was already reached"),
        "{ended}"
    );
}

/// With epochs of another length every later step would have another position.
#[test]
fn a_data_set_of_another_size_is_rejected() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    workdir.train("train.max_steps=4").ends_with(0);
    let recipe = run.checkpoint(4).join("recipe.toml");
    // As if data.folder, which may change, contained other files.
    let text = fs::read_to_string(&recipe)
        .unwrap()
        .replace("synthetic_train_images = 26", "synthetic_train_images = 36");
    reseal(&run, &recipe, &text);
    workdir
        .train("--resume auto data.synthetic_train_images=36")
        .ends_with(2)
        .says("36 training images, which make epochs of 4 steps, but the checkpoint is of step 4 in epoch 2 of a run");
}

/// Rewrites the checkpoint of step 4 with another recipe.
fn reseal(run: &RunFolder, recipe: &Path, text: &str) {
    fs::write(recipe, text).unwrap();
    let writer = CheckpointWriter::begin(run, 4).unwrap();
    for file in list(&run.checkpoint(4)).iter().filter(|file| *file != "manifest.json") {
        fs::copy(run.checkpoint(4).join(file), writer.dir().join(file)).unwrap();
    }
    writer.commit(None).unwrap();
}
