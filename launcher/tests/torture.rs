//! Kills and signals under the launcher at moments that chance chooses: the run comes to the same bits, and nothing is left.

use std::fs;
use std::time::{Duration, Instant};

use test_jobs::{Running, TINY, Workdir, any_below, torture_is_asked_for};

const STEPS: &str = "--set train.max_steps=1500 --set checkpoint.interval_steps=50 --set eval.interval_epochs=0 \
                     --set data.synthetic_train_images=200000";

/// One of the things that happen to a job.
fn disturb(running: &Running) -> &'static str {
    match any_below(5) {
        0 => {
            running.signal("KILL");
            "the launcher killed"
        }
        1 => {
            running.signal(["INT", "TERM", "USR1", "USR2", "HUP"][any_below(5) as usize]);
            "the launcher told to stop"
        }
        what => {
            // A rank, or mpirun, or whatever is there at this moment.
            let others: Vec<_> = running.processes().into_iter().filter(|&pid| pid != running.id()).collect();
            if let Some(pid) = others.get(any_below(others.len().max(1) as u64) as usize) {
                let signal = if what == 2 { "-TERM" } else { "-KILL" };
                _ = std::process::Command::new("kill").args([signal, &pid.to_string()]).status();
            }
            if what == 2 { "one of its processes told to stop" } else { "one of its processes killed" }
        }
    }
}

#[test]
fn a_run_that_is_disturbed_again_and_again_comes_to_the_same_weights() {
    if !torture_is_asked_for() {
        return;
    }
    let workdir = Workdir::new(TINY);
    let common =
        "run --config recipe.toml -n 2 --oversubscribe --back-off 0.1 --max-restarts 99 --resume auto";
    let mut told = Vec::new();
    for _ in 0..40 {
        let running = workdir.launcher(&format!("{common} {STEPS}")).start();
        for _ in 0..=any_below(3) {
            std::thread::sleep(Duration::from_millis(any_below(3000)));
            told.push(disturb(&running));
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        let ended = running.wait();
        told.push(if ended.code == Some(0) { "done" } else { "ended" });
        // What a killed launcher leaves ends by itself.
        while ended.left.iter().any(|pid| is_alive(*pid)) {
            assert!(Instant::now() < deadline + Duration::from_secs(120), "{told:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        // Where a process was killed after the stop was asked for, that one's end is the launcher's.
        let right = [0, 75, 129, 130, 137, 138, 140, 143];
        let is_right = ended.code.is_none_or(|code| right.contains(&code));
        assert!(is_right, "{told:?} {ended}");
    }
    workdir.launcher(&format!("{common} {STEPS}")).ends_with(0);
    let undisturbed = "run --config recipe.toml -n 2 --oversubscribe --name undisturbed";
    workdir.launcher(&format!("{undisturbed} {STEPS}")).ends_with(0);
    let weights =
        |name: &str| fs::read(workdir.run(name).checkpoint(1500).join("model.safetensors")).unwrap();
    assert!(weights("recipe") == weights("undisturbed"), "{told:?}");
}

fn is_alive(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}
