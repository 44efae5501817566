//! Which checkpoints are kept, how damaged and missing ones are handled, and what resuming checks.

use std::fs;

use test_jobs::{ENDLESS, TINY, Workdir, list, metrics, newest_step};

use crate::resume::{EVERY_STEP, check_equal};

#[test]
fn damaged_checkpoints_are_reported_and_skipped() {
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
    // A checkpoint contains its recipe, also outside its run folder.
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

/// Damaged checkpoints are set aside, and newer ones are kept.
#[test]
fn damaged_checkpoints_do_not_count_towards_keep() {
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

/// Only a run that never saved a checkpoint starts from the beginning.
#[test]
fn a_run_without_a_complete_checkpoint_is_not_overwritten() {
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
            "error: runs/recipe/checkpoints: no checkpoint is complete:\
             \n  runs/recipe/checkpoints/step-000000004: state.json has 1 bytes where the manifest says ",
        ).says("\nstarting afresh would overwrite the run: put back a copy of a checkpoint, or start another run with --name\n");
    }
    fs::remove_dir_all(run.checkpoints()).unwrap();
    workdir.train(&options).ends_with(6).says(
        "error: runs/recipe/checkpoints: no checkpoint is there, though that of step 4 was saved; starting afresh would \
         overwrite the run: put back a copy of a checkpoint, or start another run with --name\n",
    );
    assert_eq!((attempts(), metrics(&run)), (before, lines));
}

/// The recipe is compared with that of the checkpoint, whatever happened to the file in the run folder.
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

/// The number of lines recorded in the checkpoint is compared with the metrics file.
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
    // The run continues with the remaining lines.
    assert!(!resume().stderr.contains("missing"));
    fs::remove_file(run.metrics()).unwrap();
    let lines = 2;
    resume().says(&format!("{lines} of its {lines} lines are missing"));
    // A run of another name never had them.
    let other = workdir.train("--name other --resume runs/recipe").ends_with(0);
    assert!(!other.stderr.contains("missing"), "{other}");
}

/// Checkpoints by the clock are saved on all ranks after the same step.
#[test]
fn checkpoints_by_the_clock_do_not_change_the_result() {
    for ranks in [1, 2] {
        let workdir = Workdir::new(TINY);
        let options = "train.ema_decay=0.9 checkpoint.keep=100";
        // An interval so short that it has passed at every step.
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
fn checkpoints_of_every_so_many_epochs_are_kept() {
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
