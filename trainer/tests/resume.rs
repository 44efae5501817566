//! A run that is stopped and continued equals an uninterrupted run bit for bit.

use regatta_run_folder::RunFolder;
use test_jobs::{
    ENDLESS, TINY, Workdir, checkpoint_files, list, metrics, newest_step, repeatable_metrics, tiny_with,
};

/// A checkpoint after every step, metrics intervals that span stops and epochs, augmented images.
pub(crate) const EVERY_STEP: &str = "checkpoint.interval_steps=1 checkpoint.keep=100 log.interval_steps=2 \
                          augment.horizontal_flip_probability=0.5 augment.random_crop_padding_px=2 train.epochs=3";

/// Compares an uninterrupted run with one that stopped within an epoch and at the end of one: every file of every checkpoint,
/// and the metrics.
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
    let (expected, mut found) = (checkpoint_files(&whole), checkpoint_files(&parts));
    // An epoch that `train.max_steps` cut short was evaluated, and its precise statistics saved.
    found.retain(|name, _| !name.contains("/precise") || expected.contains_key(name));
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
fn sgd_with_a_moving_average_resumes_exactly() {
    // Updates in the first and third of an epoch's three steps; stops fall on both, and between them.
    let options = "optim.nesterov=true optim.weight_decay=1e-4 train.ema_decay=0.9 train.ema_interval_steps=2 \
                   train.label_smoothing=0.1";
    check_stops(1, options);
    check_stops(2, options);
}

#[test]
fn adamw_with_a_schedule_resumes_exactly() {
    let options = "optim.name=adamw optim.momentum=0.0 optim.lr=1e-3 optim.weight_decay=0.1 train.clip_grad_norm=1.0 \
                   schedule.name=cosine schedule.warmup_epochs=0.5 train.ema_half_life_steps=3 train.ema_warmup=copy";
    check_stops(1, options);
    check_stops(2, options);
}

#[test]
fn bf16_in_the_contiguous_format_resumes_exactly() {
    check_stops(1, "train.precision=bf16 train.memory_format=contiguous train.drop_last=true");
}

#[test]
fn dropout_mixing_and_squeeze_and_excitation_resume_exactly() {
    let stages = "model.anynet.stages=[{depth=2,width=16,group_width=8,se_ratio=0.25}]";
    check_stops(2, &format!("model.dropout=0.5 augment.mixup_alpha=0.2 augment.cutmix_alpha=1.0 {stages}"));
}

#[test]
fn epochs_without_evaluation_resume_exactly() {
    check_stops(1, "eval.interval_epochs=2 checkpoint.interval_epochs=3");
}

/// The run stops at an arbitrary step and continues for four more; it is compared with an uninterrupted run of that length.
#[test]
fn a_run_stopped_by_a_signal_resumes_exactly() {
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
fn a_run_stopped_before_an_evaluation_resumes_exactly() {
    let workdir = Workdir::new(TINY);
    // Enough validation images to make the evaluation long enough to be interrupted.
    let options = "data.synthetic_train_images=10 data.synthetic_val_images=20000 eval.batch_size=4 checkpoint.keep=9 eval.precise_bn_images=10";
    let run = workdir.run("parts");
    let mut running = workdir.train(&format!("--name parts {options}")).start();
    running.wait_for_file(&run.metrics(), |text| text.contains("\"step\":1"));
    running.signal("USR2");
    assert_eq!(running.wait().code, Some(75));
    assert_eq!(newest_step(&run), 1);
    // Twice, since the first resume ends the epoch at a step that already has a checkpoint.
    workdir.train(&format!("--name parts --resume auto {options} train.max_steps=1")).ends_with(0);
    workdir.train(&format!("--name parts --resume auto {options}")).ends_with(0);
    workdir.train(&format!("--name whole {options}")).ends_with(0);
    check_equal(&workdir, "whole", "parts");
}

/// The path is that of a run folder or of one of its checkpoints.
#[test]
fn a_run_of_another_name_resumes_exactly_from_a_path() {
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
fn a_different_recipe_is_rejected_with_the_difference() {
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

/// The micro-batch size chosen at the first start on three ranks is kept on one rank and on two.
#[test]
fn another_world_size_keeps_the_micro_batch_size() {
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

/// The subset is the same in every attempt.
#[test]
fn a_run_on_part_of_the_images_resumes_exactly() {
    let workdir = Workdir::new(TINY);
    let options =
        "data.limit_train_images=14 data.limit_val_images=5 checkpoint.interval_steps=1 checkpoint.keep=9";
    workdir.train(&format!("--name whole {options}")).ends_with(0);
    // Batches of 10 and 4 images, in each of two epochs.
    assert_eq!(newest_step(&workdir.run("whole")), 4);
    workdir.train(&format!("--name parts {options} train.max_steps=1")).ends_with(0);
    workdir.train(&format!("--name parts --resume auto {options}")).ends_with(0);
    check_equal(&workdir, "whole", "parts");
    let other = options.replace("images=14", "images=15");
    workdir
        .train(&format!("--name parts --resume auto {other}"))
        .ends_with(2)
        .says("data.limit_train_images: 14 -> 15");
    let too_many = "--name more data.limit_train_images=27";
    workdir
        .train(too_many)
        .ends_with(2)
        .says("data.limit_train_images = 27, but the data set has 26 training images");
}

/// `--resume auto` is always safe: without a run it starts one, and a finished run stays as it is.
#[test]
fn resume_auto_starts_a_new_run_and_leaves_a_finished_one() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    workdir.train("--resume auto").ends_with(0);
    let (files, lines) = (checkpoint_files(&run), metrics(&run));
    workdir.train("--resume auto").ends_with(0);
    assert!(checkpoint_files(&run) == files && metrics(&run) == lines);

    assert_eq!(list(&run.attempts()), ["000001", "000002"]);
}
