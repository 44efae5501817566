//! A run that was stopped and continued is, to the bit, the run that never stopped.

use std::fs;

use regatta_run::RunFolder;
use test_jobs::{
    ENDLESS, TINY, Workdir, checkpoint_files, list, metrics, newest_step, repeatable_metrics, tiny_with,
};

/// A checkpoint after every step, lines of metrics that straddle stops and epochs, augmented images.
const EVERY_STEP: &str = "checkpoint.interval_steps=1 checkpoint.keep=100 log.interval_steps=2 \
                          data.horizontal_flip_probability=0.5 data.random_crop_padding_px=2 train.epochs=3";

/// Compares a run that never stopped with one that stopped within an epoch and at the end of one: every file of every
/// checkpoint, and the metrics.
fn check_stops(ranks: usize, options: &str) {
    let workdir = Workdir::new(TINY);
    let options = format!("{EVERY_STEP} {options}");
    workdir.train(&format!("--name whole {options}")).ranks(ranks).ends_with(0);
    for stop in [2, 3, 4, 6] {
        let options = format!("--name parts --resume auto {options} train.max_steps={stop}");
        workdir.train(&options).ranks(ranks).ends_with(0);
        assert_eq!(newest_step(&workdir.run("parts")), stop);
    }
    workdir.train(&format!("--name parts --resume auto {options}")).ranks(ranks).ends_with(0);
    check_equal(&workdir, "whole", "parts");
}

pub(crate) fn check_equal(workdir: &Workdir, whole: &str, parts: &str) {
    let (whole, parts) = (workdir.run(whole), workdir.run(parts));
    let (expected, found) = (checkpoint_files(&whole), checkpoint_files(&parts));
    let names = |run: &RunFolder| {
        let is_counted = |name: &String| !name.starts_with("damaged-");
        list(&run.checkpoints()).into_iter().filter(is_counted).collect::<Vec<_>>()
    };
    assert_eq!(names(&whole), names(&parts));
    assert!(expected.keys().eq(found.keys()), "{:?}\n{:?}", expected.keys(), found.keys());
    for (name, bytes) in &expected {
        assert!(*bytes == found[name], "{name} differs{}", state_texts(name, bytes, &found[name]));
    }
    assert_eq!(repeatable_metrics(&whole), repeatable_metrics(&parts));
}

fn state_texts(name: &str, expected: &[u8], found: &[u8]) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if name.ends_with(".json") { format!(":\n{}\n{}", text(expected), text(found)) } else { String::new() }
}

#[test]
fn sgd_with_moving_average() {
    let options = "optim.nesterov=true optim.weight_decay=1e-4 train.ema_decay=0.9 train.label_smoothing=0.1";
    check_stops(1, options);
    check_stops(2, options);
}

#[test]
fn adamw_with_a_schedule() {
    let options = "optim.name=adamw optim.momentum=0.0 optim.lr=1e-3 optim.weight_decay=0.1 train.clip_grad_norm=1.0 \
                   schedule.name=cosine schedule.warmup_epochs=0.5";
    check_stops(1, options);
    check_stops(2, options);
}

#[test]
fn bf16_in_the_contiguous_format() {
    check_stops(1, "train.precision=bf16 train.memory_format=contiguous train.drop_last=true");
}

#[test]
fn dropout_and_squeeze_and_excitation() {
    let stages = "model.anynet.stages=[{depth=2,width=16,group_width=8,se_ratio=0.25}]";
    check_stops(2, &format!("model.dropout=0.5 {stages}"));
}

#[test]
fn epochs_that_are_not_evaluated() {
    check_stops(1, "eval.interval_epochs=2 checkpoint.interval_epochs=3");
}

/// Stopped by a signal, wherever it was, and continued for four steps; against a run that goes there at once.
#[test]
fn after_a_stop_by_signal() {
    for ranks in [1, 2] {
        let workdir = Workdir::new(TINY);
        let options = format!("{ENDLESS} checkpoint.keep=1 train.ema_decay=0.9 log.interval_steps=3");
        let run = workdir.run("parts");
        let mut running = workdir.train(&format!("--name parts {options}")).ranks(ranks).start();
        running.wait_for_file(&run.metrics(), |text| text.lines().count() >= 3);
        running.signal("USR2");
        let ended = running.wait();
        assert_eq!(ended.code, Some(75), "{ended}");
        let last = newest_step(&run) + 4;
        let options = format!("{options} train.max_steps={last}");
        workdir.train(&format!("--name parts --resume auto {options}")).ranks(ranks).ends_with(0);
        workdir.train(&format!("--name whole {options}")).ranks(ranks).ends_with(0);
        check_equal(&workdir, "whole", "parts");
    }
}

/// Epochs of one step: every stop by signal falls between an epoch's last step and its evaluation.
#[test]
fn after_a_stop_before_an_evaluation() {
    let workdir = Workdir::new(TINY);
    // As many validation images as make the evaluation long enough to be interrupted.
    let options =
        "data.synthetic_train_images=10 data.synthetic_val_images=20000 eval.batch_size=4 checkpoint.keep=9";
    let run = workdir.run("parts");
    let mut running = workdir.train(&format!("--name parts {options}")).start();
    running.wait_for_file(&run.metrics(), |text| text.contains("\"step\":1"));
    running.signal("USR2");
    assert_eq!(running.wait().code, Some(75));
    assert_eq!(newest_step(&run), 1);
    // Twice, since the first one ends the epoch at a step that has a checkpoint already.
    workdir.train(&format!("--name parts --resume auto {options} train.max_steps=1")).ends_with(0);
    workdir.train(&format!("--name parts --resume auto {options}")).ends_with(0);
    workdir.train(&format!("--name whole {options}")).ends_with(0);
    check_equal(&workdir, "whole", "parts");
}

#[test]
fn damaged_checkpoints_are_named_and_passed_over() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    workdir.train(EVERY_STEP).ends_with(0);
    let cut = run.checkpoint(9).join("model.safetensors");
    fs::write(&cut, &fs::read(&cut).unwrap()[..100]).unwrap();
    let state = run.checkpoint(8).join("state.json");
    fs::write(&state, fs::read_to_string(&state).unwrap().replace("\"step\": 8", "\"step\": 7")).unwrap();
    workdir
        .train(&format!("--resume auto {EVERY_STEP}"))
        .ends_with(0)
        .says("runs/recipe/checkpoints/step-000000009: model.safetensors has 100 bytes")
        .says("runs/recipe/checkpoints/step-000000008: the content of state.json does not have the hash")
        .says("resumed from runs/recipe/checkpoints/step-000000007");
    workdir.train(&format!("--name whole {EVERY_STEP}")).ends_with(0);
    check_equal(&workdir, "whole", "recipe");

    fs::remove_file(run.checkpoint(9).join("manifest.json")).unwrap();
    fs::write(run.checkpoint(8).join("state.json"), "{}").unwrap();
    let by_path = |path: &str| workdir.train(&format!("--resume {path} {EVERY_STEP}"));
    by_path("runs/recipe/checkpoints/step-000000008").ends_with(6).says("damaged: state.json has 2 bytes");
    by_path("runs/recipe/checkpoints/step-000000009")
        .ends_with(2)
        .says("give a run folder or one of its checkpoints");
    // A checkpoint has its recipe, also without the run around it.
    fs::rename(run.checkpoint(7), workdir.path().join("alone")).unwrap();
    workdir
        .train(&format!("--name other --resume alone {EVERY_STEP} model.stem_width=8"))
        .ends_with(2)
        .says("or undo:\n  model.stem_width: 16 -> 8\n");
    workdir
        .train(&format!("--name other --resume alone {EVERY_STEP}"))
        .ends_with(0)
        .says("resumed from alone");
}

/// They are set aside, and checkpoints that are made now stay.
#[test]
fn damaged_checkpoints_do_not_count_among_those_that_are_kept() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    workdir
        .train("checkpoint.interval_steps=1 checkpoint.keep=100 train.epochs=5 train.max_steps=11")
        .ends_with(0);
    fs::remove_file(run.best()).unwrap();
    for step in 1..=11 {
        let model = run.checkpoint(step).join("model.safetensors");
        match step {
            10.. => fs::write(model, "damaged").unwrap(),
            7 => {}
            _ => fs::remove_dir_all(run.checkpoint(step)).unwrap(),
        }
    }
    let options =
        "--resume auto checkpoint.interval_steps=1 checkpoint.keep=2 train.epochs=5 eval.interval_epochs=0";
    workdir
        .train(&format!("{options} train.max_steps=8"))
        .ends_with(0)
        .says("runs/recipe/checkpoints/step-000000011 is damaged: model.safetensors has 7 bytes")
        .says("; it is kept as runs/recipe/checkpoints/damaged-step-000000011");
    let aside = ["damaged-step-000000010", "damaged-step-000000011"];
    assert_eq!(list(&run.checkpoints()), [&aside[..], &["step-000000007", "step-000000008"]].concat());
    workdir.train(&format!("{options} train.max_steps=11")).ends_with(0);
    assert_eq!(list(&run.checkpoints()), [&aside[..], &["step-000000010", "step-000000011"]].concat());
}

/// Only a run that never saved a step begins anew.
#[test]
fn a_run_without_a_whole_checkpoint_is_not_overwritten() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    let mut running = workdir.train(ENDLESS).start();
    running.wait_for_file(&run.metrics(), |text| text.lines().count() >= 3);
    drop(running);
    let options = format!("--resume auto {ENDLESS} train.max_steps=4 checkpoint.interval_steps=2");
    workdir.train(&options).ends_with(0);
    assert_eq!(newest_step(&run), 4);

    let attempts = || list(&run.attempts()).len();
    let (before, lines) = (attempts(), metrics(&run));
    for step in [2, 4] {
        fs::write(run.checkpoint(step).join("state.json"), "{").unwrap();
    }
    for ranks in [1, 2] {
        workdir.train(&options).ranks(ranks).ends_with(6).says(
            "error: runs/recipe/checkpoints: no checkpoint is whole:\
             \n  runs/recipe/checkpoints/step-000000004: state.json has 1 bytes where the manifest says ",
        ).says("\nto start anew would overwrite the run: put back a copy of a checkpoint, or start another run with --name\n");
    }
    fs::remove_dir_all(run.checkpoints()).unwrap();
    workdir.train(&options).ends_with(6).says(
        "error: runs/recipe/checkpoints: no checkpoint is there, though that of step 4 was saved; to start anew would \
         overwrite the run: put back a copy of a checkpoint, or start another run with --name\n",
    );
    assert_eq!((attempts(), metrics(&run)), (before, lines));
}

/// The recipe of the checkpoint counts, whatever became of the file in the run folder.
#[test]
fn a_deleted_config_hides_no_difference() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    workdir.train("train.max_steps=2").ends_with(0);
    fs::remove_file(run.config()).unwrap();
    let differs = "or undo:\n  optim.lr: 0.05 -> 0.5\n";
    workdir.train("--resume auto optim.lr=0.5").ends_with(2).says(differs);
    fs::write(run.config(), "[optim]\n").unwrap();
    workdir.train("--resume auto optim.lr=0.5").ends_with(2).says(differs);
    workdir.train("--resume auto").ends_with(0);
    workdir.train("--name whole").ends_with(0);
    check_equal(&workdir, "whole", "recipe");
    assert_eq!(
        fs::read_to_string(run.config()).unwrap(),
        fs::read_to_string(workdir.run("whole").config()).unwrap()
    );
}

/// What the checkpoint says of the metrics is compared with what is there.
#[test]
fn missing_lines_of_the_metrics_are_counted() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    workdir.train("train.max_steps=5").ends_with(0);
    let whole = fs::read_to_string(run.metrics()).unwrap();
    let lines = whole.lines().count();
    let resume = || workdir.train("--resume auto train.max_steps=5").ends_with(0);
    let warning = |missing: usize| {
        format!(
            "runs/recipe/metrics.jsonl: {missing} of its {lines} lines are missing since the checkpoint of step 5 was saved"
        )
    };
    fs::write(run.metrics(), whole.split_inclusive('\n').take(2).collect::<String>()).unwrap();
    resume().says(&warning(lines - 2));
    // From here on the run has the lines that are left.
    assert!(!resume().stderr.contains("missing"));
    fs::remove_file(run.metrics()).unwrap();
    let lines = 2;
    resume().says(&format!("{lines} of its {lines} lines are missing"));
    // A run of another name never had them.
    let other = workdir.train("--name other --resume runs/recipe").ends_with(0);
    assert!(!other.stderr.contains("missing"), "{other}");
}

/// A longer run is, to the bit, the one that was meant to be long from the start.
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
            .says("the learning rate goes on at 0.03273 in epoch 3 of 4\n");
        workdir.train(&format!("--name whole {options} train.epochs=4")).ranks(ranks).ends_with(0);
        check_equal(&workdir, "whole", "parts");
    }
}

/// The curve stays that of the first start, unless it is chosen anew; what computes something else is refused as ever.
#[test]
fn an_extension_keeps_the_schedule() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    let done = "done: best top-1 ";
    workdir.train("schedule.name=cosine").ends_with(0);
    let ended = workdir.train("--resume auto schedule.name=cosine").ends_with(0);
    let first = "nothing is left to do: train.epochs = 2 was reached before; a larger one goes on\n";
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
        ended.stdout.starts_with("nothing is left to do: train.max_steps = 6 was reached before"),
        "{ended}"
    );
}

/// Checkpoints by the clock come on all ranks after the same step, and change nothing.
#[test]
fn checkpoints_by_the_clock() {
    for ranks in [1, 2] {
        let workdir = Workdir::new(TINY);
        let options = "train.ema_decay=0.9 checkpoint.keep=100";
        // At every step some time has passed.
        let options = format!("{options} checkpoint.interval_minutes=1e-9");
        workdir.train(&format!("--name parts {options} train.max_steps=4")).ranks(ranks).ends_with(0);
        workdir.train(&format!("--name parts --resume auto {options}")).ranks(ranks).ends_with(0);
        assert_eq!(list(&workdir.run("parts").checkpoints()).len(), 7);
        let options = "train.ema_decay=0.9 checkpoint.keep=100 checkpoint.interval_steps=1";
        workdir.train(&format!("--name whole {options}")).ranks(ranks).ends_with(0);
        check_equal(&workdir, "whole", "parts");
    }
}

#[test]
fn checkpoints_of_every_so_many_epochs_stay() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    let options = "train.epochs=7 checkpoint.keep=1 checkpoint.keep_every_epochs=2 checkpoint.interval_epochs=3 \
                   eval.interval_epochs=0";
    workdir.train(&format!("{options} train.max_steps=14")).ends_with(0);
    let steps = |steps: &[u64]| steps.iter().map(|step| format!("step-{step:09}")).collect::<Vec<_>>();
    assert_eq!(list(&run.checkpoints()), steps(&[6, 12, 14]));
    workdir.train(&format!("--resume auto {options}")).ends_with(0);
    assert_eq!(list(&run.checkpoints()), steps(&[6, 12, 18, 21]));
}

/// An epoch of another length would put every later step elsewhere.
#[test]
fn other_data_in_the_place_of_the_runs_is_refused() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    workdir.train("train.max_steps=4").ends_with(0);
    let recipe = run.checkpoint(4).join("recipe.toml");
    // As if data.folder, which may change, had other files.
    let text = fs::read_to_string(&recipe)
        .unwrap()
        .replace("synthetic_train_images = 26", "synthetic_train_images = 36");
    reseal(&run, &recipe, &text);
    workdir
        .train("--resume auto data.synthetic_train_images=36")
        .ends_with(2)
        .says("36 training images, which make epochs of 4 steps, but the checkpoint is of step 4 in epoch 2 of a run");
}

/// Writes the checkpoint of step 4 anew with another text of its recipe.
fn reseal(run: &RunFolder, recipe: &std::path::Path, text: &str) {
    fs::write(recipe, text).unwrap();
    let writer = regatta_run::CheckpointWriter::begin(run, 4).unwrap();
    for file in list(&run.checkpoint(4)).iter().filter(|file| *file != "manifest.json") {
        fs::copy(run.checkpoint(4).join(file), writer.dir().join(file)).unwrap();
    }
    writer.commit(None).unwrap();
}

/// From a run's folder and from one of its checkpoints, into a run of another name.
#[test]
fn by_path_into_another_run() {
    let workdir = Workdir::new(TINY);
    let options = "checkpoint.interval_steps=1 checkpoint.keep=100";
    workdir.train(&format!("--name whole {options}")).ends_with(0);
    for (name, path, first) in [("a", "runs/whole/checkpoints/step-000000004", 5), ("b", "runs/half", 3)] {
        workdir.train(&format!("--name half --resume auto {options} train.max_steps=2")).ends_with(0);
        workdir.train(&format!("--name {name} --resume {path} {options}")).ends_with(0);
        let (run, whole) = (workdir.run(name), workdir.run("whole"));
        assert_eq!(metrics(&run)[0]["step"], first);
        for (file, bytes) in checkpoint_files(&run) {
            assert!(bytes == checkpoint_files(&whole)[&file], "{name}: {file} differs");
        }
        assert_eq!(newest_step(&run), 6);
    }
    // An existing run is not overwritten with another one.
    workdir
        .train(&format!("--name whole --resume runs/half {options}"))
        .ends_with(2)
        .says("error: the run folder runs/whole exists and --resume runs/half is another run: choose a new --name\n");
}

#[test]
fn other_recipes_are_refused_with_the_difference() {
    let workdir = Workdir::new(TINY);
    workdir.train("train.max_steps=2").ends_with(0);
    let before = checkpoint_files(&workdir.run("recipe"));
    let options = "--resume auto optim.lr=0.2 train.seed=7 model.stem_width=8 log.interval_steps=7";
    for ranks in [1, 2] {
        workdir.train(options).ranks(ranks).ends_with(2).says(
            "this recipe differs from the one that the run was started with; start another run with --name, or undo:\
             \n  model.stem_width: 16 -> 8\n  optim.lr: 0.05 -> 0.2\n  train.seed: 0 -> 7\n",
        );
    }
    assert!(checkpoint_files(&workdir.run("recipe")) == before);
    assert_eq!(list(&workdir.run("recipe").attempts()), ["000001"]);
    workdir
        .train("")
        .ends_with(2)
        .says("runs/recipe exists: continue that run with --resume auto, or start another with --name");
}

/// The size that a first start on three ranks gave the micro-batches holds on one rank and on two.
#[test]
fn another_world_size_keeps_the_micro_batches() {
    let workdir = Workdir::new(&tiny_with("micro_batch_size = 4\n", ""));
    workdir.train("train.max_steps=1").ranks(3).ends_with(0);
    let size = "micro-batches of 4, run folder runs/recipe";
    workdir.train("--resume auto train.max_steps=3").ranks(2).ends_with(0).says(size);
    workdir.train("--resume auto").ends_with(0).says(size);
    assert_eq!(newest_step(&workdir.run("recipe")), 6);
    workdir
        .train("--resume auto")
        .ranks(4)
        .ends_with(2)
        .says("4 ranks, but train.global_batch_size = 10 in micro-batches of train.micro_batch_size = 4 makes only 3");
    // A new run on one rank takes all ten.
    workdir.train("--name alone train.max_steps=1").ends_with(0).says("micro-batches of 10");
}

/// `--resume auto` is safe to type every time: without a run it starts one, and a run that is done stays as it is.
#[test]
fn auto_fits_every_state_of_a_run() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    workdir.train("--resume auto").ends_with(0);
    let (files, lines) = (checkpoint_files(&run), metrics(&run));
    workdir.train("--resume auto").ends_with(0);
    assert!(checkpoint_files(&run) == files && metrics(&run) == lines);

    assert_eq!(list(&run.attempts()), ["000001", "000002"]);
}
