//! `launcher run` with real ranks: what it prints, which failures it restarts, and how it is stopped.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use regatta_run_folder::{AttemptRecord, RunFolder};
use test_jobs::{Running, TINY, Workdir};

/// Length and checkpoints of the runs that are disturbed: some seconds of steps.
pub(crate) const STEPS: &str = "--set train.max_steps=400 --set checkpoint.interval_steps=50 --set eval.interval_epochs=0 \
                     --set data.synthetic_train_images=200000";

/// Starts a job on two ranks and waits until it has done 60 steps.
pub(crate) fn start(workdir: &Workdir, options: &str) -> Running {
    let back_off = if options.contains("--back-off") { "" } else { "--back-off 0.2" };
    let common = format!("run --config recipe.toml -n 2 --oversubscribe {back_off}");
    let mut running = workdir.launcher(&format!("{common} {STEPS} {options}")).start();
    running.wait_for_file(&workdir.run("recipe").metrics(), |text| text.lines().count() >= 60);
    running
}

/// Trains the same steps without a disturbance and compares the final weights.
fn assert_weights_are_those_of_an_undisturbed_run(workdir: &Workdir) {
    let common = "run --config recipe.toml -n 2 --oversubscribe --name undisturbed";
    workdir.launcher(&format!("{common} {STEPS}")).ends_with(0);
    let weights = |run: &RunFolder| fs::read(run.checkpoint(400).join("model.safetensors")).unwrap();
    assert!(weights(&workdir.run("recipe")) == weights(&workdir.run("undisturbed")));
}

pub(crate) fn ends_of_attempts(run: &RunFolder) -> Vec<(String, i32)> {
    let records = (1..).map(|number| run.attempt(number)).take_while(|path| path.exists());
    let end = |path: std::path::PathBuf| {
        AttemptRecord::read(&path).unwrap().end.map(|end| (end.end, end.exit_code))
    };
    records.map(|path| end(path).unwrap_or_default()).collect()
}

#[test]
fn a_dry_run_prints_only_the_command() {
    let workdir = Workdir::new(TINY);
    let ended = workdir
        .launcher("run --config recipe.toml -n 1 --set optim.lr=0.1 --name x --dry-run -- -v")
        .ends_with(0);
    let line = ended.stdout.trim_end();
    assert!(line.contains(" -n 1 ") && line.contains(" -v "), "{ended}");
    assert!(
        line.ends_with("trainer --config recipe.toml --resume never --set optim.lr=0.1 --name x"),
        "{ended}"
    );
    assert_eq!(test_jobs::list(workdir.path()), ["recipe.toml"]);
}

#[test]
fn rank_0_is_printed_and_its_output_is_saved() {
    let workdir = Workdir::new(TINY);
    let ended =
        workdir.launcher("run --config recipe.toml -n 2 --oversubscribe").ends_with(0).says("2 ranks over ");
    assert!(ended.stdout.starts_with("done: best top-1 "), "{ended}");
    assert!(!ended.stderr.contains("[1,0]"), "{ended}");
    let kept = fs::read_to_string(workdir.run("recipe").output(0)).unwrap();
    assert!(kept.contains("2 ranks over ") && kept.contains("done: best top-1 "), "{kept}");
}

#[test]
fn a_killed_rank_is_named_and_the_run_continues() {
    let workdir = Workdir::new(TINY);
    let running = start(&workdir, "");
    running.signal_rank("KILL", 1);
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(0), &[][..]), "{ended}");
    let ended = ended.says("launcher: rank 1 on ").says(" was killed by signal 9 (Killed) (step ");
    _ = ended.says("its log: runs/recipe/log/rank-0001.log. Restart 1 of 3 from runs/recipe/checkpoints/step-000000050 in 0.2 s.");
    let [first, second] = &ends_of_attempts(&workdir.run("recipe"))[..] else { panic!("two attempts") };
    assert!(first.0.contains("was killed by signal 9") && first.1 == 137, "{first:?}");
    assert_eq!(*second, ("done".to_owned(), 0));
    assert_weights_are_those_of_an_undisturbed_run(&workdir);
}

/// The process of the job that runs `program`.
pub(crate) fn process_of(running: &Running, program: &str) -> u32 {
    let is_it = |pid: &u32| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let name = line.split('\0').next().unwrap_or_default();
        Path::new(name).file_name().is_some_and(|name| name == program)
    };
    running.processes().into_iter().find(is_it).unwrap()
}

pub(crate) fn kill(pid: u32) {
    signal(pid, "KILL");
}

pub(crate) fn signal(pid: u32, signal: &str) {
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args([&format!("-{signal}"), &pid.to_string()]).status().unwrap().success());
}

#[test]
fn a_killed_mpirun_is_restarted() {
    let workdir = Workdir::new(TINY);
    let running = start(&workdir, "");
    kill(process_of(&running, "mpirun"));
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(0), &[][..]), "{ended}");
    _ = ended
        .says("launcher: mpirun itself was killed by signal 9 (Killed) (step ")
        .says("Restart 1 of 3 from ");
    assert_weights_are_those_of_an_undisturbed_run(&workdir);
}

/// The ranks do not outlive the launcher, and another start continues the run.
#[test]
fn ranks_end_with_a_killed_launcher() {
    let workdir = Workdir::new(TINY);
    let running = start(&workdir, "");
    running.signal("KILL");
    let deadline = Instant::now() + Duration::from_secs(20);
    while running.processes().iter().any(|&pid| !is_zombie(pid)) {
        assert!(Instant::now() < deadline, "{:?} are left", running.processes());
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(running);
    let again = "run --config recipe.toml -n 2 --oversubscribe --resume auto";
    workdir
        .launcher(&format!("{again} {STEPS}"))
        .ends_with(0)
        .says("resumed from runs/recipe/checkpoints/step-");
    assert_weights_are_those_of_an_undisturbed_run(&workdir);
}

fn is_zombie(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.is_empty() || status.contains("State:\tZ")
}

#[test]
fn a_rank_that_hangs_is_named_and_the_run_continues() {
    let workdir = Workdir::new(TINY);
    let running = start(&workdir, "--set comm.timeout_s=2");
    running.signal_rank("STOP", 1);
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(0), &[][..]), "{ended}");
    let ended = ended
        .says("launcher: rank 0 on ")
        .says(" ended with exit code 4: a collective has not completed after 2 s");
    _ = ended.says("rank 1 on ").says(" gives no sign of life").says("Restart 1 of 3 from ");
    assert_weights_are_those_of_an_undisturbed_run(&workdir);
}

#[test]
fn a_stalled_run_is_ended_and_restarted() {
    let workdir = Workdir::new(TINY);
    let running = start(&workdir, "--stall-timeout 6");
    for rank in [0, 1] {
        running.signal_rank("STOP", rank);
    }
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(0), &[][..]), "{ended}");
    _ = ended
        .says("launcher: the job was ended here: no progress for 6 s (--stall-timeout)")
        .says("Restart 1 of 3");
    assert_weights_are_those_of_an_undisturbed_run(&workdir);
}

pub(crate) const ENDLESS_RUN: &str = "--set train.max_steps=1000000";

#[test]
fn permanent_failures_are_not_restarted() {
    let workdir = Workdir::new(TINY);
    let ended =
        workdir.launcher("run --config recipe.toml -n 2 --oversubscribe --set optim.lr=1e30").ends_with(5);
    _ = ended
        .says("launcher: rank 0 on ")
        .says(" ended with exit code 5: the loss is NaN in step 2 of epoch 1");
    let refused = workdir.launcher("run --config recipe.toml -n 2 --oversubscribe").ends_with(2);
    // In most cases mpirun names the rank.
    let refused = refused.says(" ended with exit code 2: ").says("runs/recipe");
    _ = refused.says(". Not restarted: a restart would end with exit code 2 again.");
    assert_eq!(ends_of_attempts(&workdir.run("recipe")).len(), 1);
}

/// The trainer is a script that always fails in the same step.
#[test]
fn a_crash_loop_stops() {
    let workdir = Workdir::new(TINY);
    let script = workdir.path().join("crashes");
    let trainer = test_jobs::built("trainer");
    fs::write(&script, format!("#!/bin/sh\n{} \"$@\" --set train.max_steps=2\nexit 9\n", trainer.display()))
        .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let options = "--max-restarts 9 --back-off 0.1 --trainer crashes";
    let ended = workdir.launcher(&format!("run --config recipe.toml -n 1 {options}")).ends_with(9);
    let ended = ended.says("Restart 1 of 9 from runs/recipe/checkpoints/step-000000002 in 0.1 s.");
    _ = ended.says("Not restarted: it failed in step 2 twice in a row.");
}

#[test]
fn a_run_taken_over_by_another_start_is_left_to_it() {
    let workdir = Workdir::new(TINY);
    let running = start(&workdir, ENDLESS_RUN);
    fs::write(workdir.run("recipe").attempt(2), "").unwrap();
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(6), &[][..]), "{ended}");
    _ = ended.says("another start of this run owns runs/recipe now");
    assert!(!workdir.run("recipe").attempt(3).exists());
}
