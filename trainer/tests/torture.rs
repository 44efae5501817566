//! Many signals at random moments: exit code 75 always comes with a checkpoint, and the run ends with the same weights.

use std::time::Duration;

use test_jobs::{TINY, Workdir, checkpoint_files, metrics, newest_step, random_below, torture_is_requested};

/// A run of some seconds that logs every step and saves a checkpoint only at its end, unless it is stopped.
const STEPS: &str = "data.synthetic_train_images=200000 train.max_steps=600 eval.interval_epochs=0";
/// Number of starts that are interrupted.
const ROUNDS: usize = 60;

/// Also while the trainer loads, since the signals are blocked then.
#[test]
fn signals_at_any_moment_lose_no_step() {
    if !torture_is_requested() {
        return;
    }
    for ranks in [1, 2] {
        let workdir = Workdir::new(TINY);
        let mut outcomes = Vec::new();
        for _ in 0..ROUNDS {
            let job = workdir.train(&format!("--resume auto {STEPS}"));
            let held = ["env", "--block-signal=INT,TERM,USR2"];
            let mut running = match ranks {
                1 => job.under(&held).start(),
                _ => job.ranks_under(ranks, &held).start(),
            };
            // mpirun has no handler at first, and does not block signals itself.
            if ranks == 1 {
                running.wait_until_blocked("USR2")
            } else {
                running.wait_for_processes(1 + ranks)
            }
            std::thread::sleep(Duration::from_millis(random_below(2500)));
            let signal = if ranks == 1 { ["INT", "TERM", "USR2"][random_below(3) as usize] } else { "USR2" };
            running.signal(signal);
            let ended = running.wait();
            let run = workdir.run("recipe");
            outcomes.push((signal, ended.code));
            let code = ended.code.unwrap();
            assert!([0, 75].contains(&code) && ended.left.is_empty(), "{outcomes:?} {ended}");
            let last = metrics(&run).last().map(|line| line["step"].as_u64().unwrap());
            assert_eq!(last, Some(newest_step(&run)), "{outcomes:?} {ended}");
            if code == 0 {
                break;
            }
        }
        workdir.train(&format!("--resume auto {STEPS}")).ranks(ranks).ends_with(0);
        workdir.train(&format!("--name undisturbed {STEPS}")).ranks(ranks).ends_with(0);
        let weights = |name: &str| {
            checkpoint_files(&workdir.run(name)).remove("step-000000600/model.safetensors").unwrap()
        };
        assert!(weights("recipe") == weights("undisturbed"), "{outcomes:?}");
    }
}
