//! Event files for TensorBoard: its own readers find what the metrics have, also after kills.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use regatta_run_folder::RunFolder;
use test_jobs::{TINY, Workdir, checkpoint_files, list, metrics, newest_step, run_script};

/// Every event file is read by Python once, at the end.
#[test]
fn tensorboard_reads_what_the_metrics_have() {
    let workdir = Workdir::new(TINY);
    leave_killed_run(&workdir);
    leave_run_killed_after_evaluation(&workdir);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read_event_files.py");
    if let Err(reason) = run_script(&script, workdir.path()) {
        println!("skipped: {reason}");
    }
}

/// A run that is killed and continued twice, with an incomplete event at the end of each file.
fn leave_killed_run(workdir: &Workdir) {
    let run = workdir.run("killed");
    let options = "--name killed --resume auto log.tensorboard=true log.histogram_interval_steps=2 log.interval_steps=2 \
                   checkpoint.interval_steps=5 train.epochs=100000";
    for lines in [30, 60] {
        let mut running = workdir.train(options).ranks(2).start();
        running.wait_for_file(&run.metrics(), |text| text.lines().count() >= lines);
        running.signal_rank("KILL", 0);
        running.wait();
        tear(&run);
    }
    let last = newest_step(&run) + 7;
    workdir.train(&format!("{options} train.max_steps={last}")).ranks(2).ends_with(0);
    assert_eq!(list(&run.tensorboard()).len(), 3);
}

/// Appends the beginning of an event to the newest file.
fn tear(run: &RunFolder) {
    let newest = list(&run.tensorboard()).pop().unwrap();
    let mut file = OpenOptions::new().append(true).open(run.tensorboard().join(newest)).unwrap();
    file.write_all(&[200, 0, 0, 0, 0]).unwrap();
}

/// A run that was stopped within the evaluation of an epoch, continued, and killed after it had recorded that epoch but before
/// it had saved a checkpoint: the epoch is recorded twice.
fn leave_run_killed_after_evaluation(workdir: &Workdir) {
    let run = workdir.run("fp16");
    let options = "--name fp16 --resume auto log.tensorboard=true train.precision=fp16 data.synthetic_train_images=10 \
                   data.synthetic_val_images=20000 eval.batch_size=4";
    let mut running = workdir.train(options).start();
    running.wait_for_file(&run.metrics(), |text| text.contains("\"step\":1"));
    running.signal("USR2");
    assert_eq!(running.wait().code, Some(75));
    assert_eq!(newest_step(&run), 1);
    let kept = workdir.path().join("kept");
    copy(&run.checkpoints(), &kept);
    workdir.train(&format!("{options} train.max_steps=1")).ends_with(0);
    fs::remove_dir_all(run.checkpoints()).unwrap();
    fs::rename(kept, run.checkpoints()).unwrap();
    workdir.train(options).ends_with(0);
    assert_eq!(metrics(&run).len(), 4);
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

/// What is written for TensorBoard changes nothing else, and is the same on two ranks: the gradient's norm.
#[test]
fn event_files_change_no_result() {
    let workdir = Workdir::new(TINY);
    let options = "train.precision=fp64 train.clip_grad_norm=0.5";
    workdir.train(&format!("--name plain {options}")).ends_with(0);
    let shown = "log.tensorboard=true log.histogram_interval_steps=1";
    workdir.train(&format!("--name shown {options} {shown}")).ends_with(0);
    workdir.train(&format!("--name two {options} {shown} train.max_steps=1")).ranks(2).ends_with(0);
    let [plain, shown, two] = ["plain", "shown", "two"].map(|name| workdir.run(name));
    assert!(!plain.tensorboard().exists());
    assert_eq!(list(&two.tensorboard()).len(), 1);
    assert!(checkpoint_files(&plain) == checkpoint_files(&shown));
    let norm = |run: &RunFolder| metrics(run)[0]["grad_norm"].as_f64().unwrap();
    assert_eq!(norm(&plain), norm(&shown));
    assert!(norm(&plain) > 0.5 && (norm(&plain) - norm(&two)).abs() < 1e-10 * norm(&plain));
}

#[test]
fn a_file_in_place_of_the_folder_is_reported() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    workdir.train("train.max_steps=1").ends_with(0);
    fs::write(run.tensorboard(), "notes").unwrap();
    workdir
        .train("--resume auto log.tensorboard=true")
        .ends_with(6)
        .says("error: cannot create the folder runs/recipe/tensorboard: File exists");
}
