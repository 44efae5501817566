//! Many signals at moments that chance chooses: what 75 promises holds each time, and the run comes to the same bits.

use std::time::Duration;

use test_jobs::{TINY, Workdir, any_below, checkpoint_files, metrics, newest_step, torture_is_asked_for};

/// A run of some seconds that is logged in every step and saves by itself only at its end.
const STEPS: &str = "data.synthetic_train_images=200000 train.max_steps=600 eval.interval_epochs=0";
/// Starts that are disturbed.
const ROUNDS: usize = 60;

/// Also in the time in which the trainer is being loaded, since the signals are held back.
#[test]
fn signals_at_any_moment_lose_no_step() {
    if !torture_is_asked_for() {
        return;
    }
    for ranks in [1, 2] {
        let workdir = Workdir::new(TINY);
        let mut told = Vec::new();
        for _ in 0..ROUNDS {
            let job = workdir.train(&format!("--resume auto {STEPS}"));
            let held = ["env", "--block-signal=INT,TERM,USR2"];
            let mut running = match ranks {
                1 => job.under(&held).start(),
                _ => job.ranks_under(ranks, &held).start(),
            };
            // mpirun has no handler at first, and does not hold anything back itself.
            if ranks == 1 {
                running.wait_until_held("USR2")
            } else {
                running.wait_for_processes(1 + ranks)
            }
            std::thread::sleep(Duration::from_millis(any_below(2500)));
            let signal = if ranks == 1 { ["INT", "TERM", "USR2"][any_below(3) as usize] } else { "USR2" };
            running.signal(signal);
            let ended = running.wait();
            let run = workdir.run("recipe");
            told.push((signal, ended.code));
            let code = ended.code.unwrap();
            assert!([0, 75].contains(&code) && ended.left.is_empty(), "{told:?} {ended}");
            let last = metrics(&run).last().map(|line| line["step"].as_u64().unwrap());
            assert_eq!(last, Some(newest_step(&run)), "{told:?} {ended}");
            if code == 0 {
                break;
            }
        }
        workdir.train(&format!("--resume auto {STEPS}")).ranks(ranks).ends_with(0);
        workdir.train(&format!("--name undisturbed {STEPS}")).ranks(ranks).ends_with(0);
        let weights = |name: &str| {
            checkpoint_files(&workdir.run(name)).remove("step-000000600/model.safetensors").unwrap()
        };
        assert!(weights("recipe") == weights("undisturbed"), "{told:?}");
    }
}
