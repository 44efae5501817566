//! Kills and signals under the launcher at random moments: the run ends with the same weights, and no process is left.

use std::fs;
use std::time::{Duration, Instant};

use crate::sweep;
use test_jobs::{Running, TINY, Workdir, random_below, torture_is_requested};

const STEPS: &str = "--set train.max_steps=1500 --set checkpoint.interval_steps=50 --set eval.interval_epochs=0 \
                     --set data.synthetic_train_images=200000";

/// Kills or signals the launcher or one of its processes at random, and describes which.
fn disturb(running: &Running) -> &'static str {
    match random_below(5) {
        0 => {
            running.signal("KILL");
            "the launcher killed"
        }
        1 => {
            running.signal(["INT", "TERM", "USR1", "USR2", "HUP"][random_below(5) as usize]);
            "the launcher signalled"
        }
        what => {
            // A rank, mpirun, or any other process of the job at this moment.
            let others: Vec<_> = running.processes().into_iter().filter(|&pid| pid != running.id()).collect();
            if let Some(pid) = others.get(random_below(others.len().max(1) as u64) as usize) {
                let signal = if what == 2 { "-TERM" } else { "-KILL" };
                _ = std::process::Command::new("kill").args([signal, &pid.to_string()]).status();
            }
            if what == 2 { "one of its processes signalled" } else { "one of its processes killed" }
        }
    }
}

/// A sweep by two launchers, of which one or both are disturbed at random moments.
#[test]
fn a_sweep_disturbed_repeatedly_has_the_same_results() {
    if !torture_is_requested() {
        return;
    }
    let disturbed = sweep::workdir(sweep::SIX);
    let mut events = Vec::new();
    for _ in 0..30 {
        let launchers =
            [sweep::start(&disturbed, "--retry").start(), sweep::start(&disturbed, "--retry").start()];
        for _ in 0..=random_below(2) {
            std::thread::sleep(Duration::from_millis(random_below(2500)));
            events.push(disturb(&launchers[random_below(2) as usize]));
        }
        for launcher in launchers {
            let ended = launcher.wait();
            assert!(!ended.stderr.contains("panicked"), "{events:?} {ended}");
        }
    }
    sweep::start(&disturbed, "--retry").ends_with(0).says("6 of 6 done");
    let undisturbed = sweep::workdir(sweep::SIX);
    sweep::start(&undisturbed, "").ends_with(0);
    let (first, second) = (sweep::recorded(&disturbed), sweep::recorded(&undisturbed));
    assert_eq!(sweep::repeatable(&first), sweep::repeatable(&second), "{events:?}");
}

#[test]
fn a_run_disturbed_repeatedly_reaches_the_same_weights() {
    if !torture_is_requested() {
        return;
    }
    let workdir = Workdir::new(TINY);
    let common =
        "run --config recipe.toml -n 2 --oversubscribe --back-off 0.1 --max-restarts 99 --resume auto";
    let mut events = Vec::new();
    for _ in 0..40 {
        let running = workdir.launcher(&format!("{common} {STEPS}")).start();
        for _ in 0..=random_below(3) {
            std::thread::sleep(Duration::from_millis(random_below(3000)));
            events.push(disturb(&running));
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        let ended = running.wait();
        events.push(if ended.code == Some(0) { "done" } else { "ended" });
        // Processes of a killed launcher end by themselves.
        while ended.left.iter().any(|pid| is_alive(*pid)) {
            assert!(Instant::now() < deadline + Duration::from_secs(120), "{events:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        // If a process was killed after a stop was requested, its exit code becomes the launcher's.
        let right = [0, 75, 129, 130, 137, 138, 140, 143];
        let is_right = ended.code.is_none_or(|code| right.contains(&code));
        assert!(is_right, "{events:?} {ended}");
    }
    workdir.launcher(&format!("{common} {STEPS}")).ends_with(0);
    let undisturbed = "run --config recipe.toml -n 2 --oversubscribe --name undisturbed";
    workdir.launcher(&format!("{undisturbed} {STEPS}")).ends_with(0);
    let weights =
        |name: &str| fs::read(workdir.run(name).checkpoint(1500).join("model.safetensors")).unwrap();
    assert!(weights("recipe") == weights("undisturbed"), "{events:?}");
}

fn is_alive(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}
