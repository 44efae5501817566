//! Runs that are killed and checkpoints that are damaged at random, a few of each; `torture_storage` repeats both for minutes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use regatta_run_folder::Checkpoint;
use regatta_run_folder::checkpoint::newest_valid;

use test_jobs::{TINY, Workdir, list, random_below};

use crate::resume::check_equal;

/// Saves a checkpoint after every step, so that one is being written most of the time.
pub(crate) const BUSY: &str =
    "checkpoint.interval_steps=1 checkpoint.keep=3 log.interval_steps=2 train.ema_decay=0.9";

/// Kills a run of `epochs` epochs `count` times, each time at a random moment of the first seconds after its start, and
/// compares its result with an undisturbed run.
pub(crate) fn kills(count: usize, epochs: usize, ranks: usize) {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("parts");
    let options = format!("{BUSY} train.epochs={epochs}");
    for number in 0..count {
        let running = workdir.train(&format!("--name parts --resume auto {options}")).ranks(ranks).start();
        let after = Duration::from_millis(random_below(2500));
        std::thread::sleep(after);
        drop(running);
        let (newest, damaged) = newest_valid(&run).unwrap();
        println!("kill {number} after {after:?}: {:?}", newest.map(|checkpoint| checkpoint.step()));
        assert_eq!(damaged, [], "kill {number} after {after:?}");
    }
    let ended = workdir.train(&format!("--name parts --resume auto {options}")).ranks(ranks).ends_with(0);
    assert!(!ended.stderr.contains("missing"), "{ended}");
    workdir.train(&format!("--name whole {options}")).ranks(ranks).ends_with(0);
    check_equal(&workdir, "whole", "parts");
    for folder in [run.path().to_owned(), run.attempts(), run.ranks(), run.checkpoints()] {
        assert!(list(&folder).iter().all(|name| !name.starts_with('.')), "{:?}", list(&folder));
    }
}

/// Flips a random bit in each file of a run's newest checkpoint and resumes, `resumes` times per file: the checkpoint must be
/// skipped each time, and the run must reach the same result. Another `checks` bits of each file are only verified.
pub(crate) fn flipped_bits(resumes: usize, checks: usize) {
    let workdir = Workdir::new(TINY);
    let options = format!("{BUSY} train.epochs=3");
    workdir.train(&format!("--name whole {options}")).ends_with(0);
    workdir.train(&format!("--name parts {options}")).ends_with(0);
    let run = workdir.run("parts");
    let newest = run.checkpoint(9);
    for name in list(&newest) {
        let file = newest.join(&name);
        let whole = fs::read(&file).unwrap();
        for _ in 0..checks {
            let flipped = flip_a_bit(&file);
            assert!(Checkpoint::verify(&newest).is_err(), "{name}, {flipped}");
            fs::write(&file, &whole).unwrap();
        }
        for _ in 0..resumes {
            let flipped = flip_a_bit(&file);
            println!("{name}, {flipped}");
            let passed_over = "skipped checkpoint: runs/parts/checkpoints/step-000000009: ";
            let ended = workdir.train(&format!("--name parts --resume auto {options}")).ends_with(0);
            ended.says(passed_over).says("resumed from runs/parts/checkpoints/step-000000008");
            check_equal(&workdir, "whole", "parts");
            fs::remove_dir_all(run.checkpoints().join("damaged-step-000000009")).unwrap();
        }
    }
}

/// Flips a random bit of a file and describes which.
fn flip_a_bit(file: &Path) -> String {
    let mut bytes = fs::read(file).unwrap();
    let bit = random_below(8 * bytes.len() as u64);
    bytes[bit as usize / 8] ^= 1 << (bit % 8);
    fs::write(file, bytes).unwrap();
    format!("bit {bit}")
}

#[test]
fn six_kills_do_not_change_the_result() {
    kills(6, 30, 1);
}

#[test]
fn a_flipped_bit_in_any_file_is_detected() {
    flipped_bits(1, 20);
}
