//! Runs that are killed and checkpoints that are damaged at random, some of each; `torture_storage` does the same for long.

use std::fs;
use std::path::Path;
use std::time::Duration;

use regatta_run_folder::Checkpoint;
use regatta_run_folder::checkpoint::newest_valid;

use test_jobs::{TINY, Workdir, any_below, list};

use crate::resume::check_equal;

/// A checkpoint after every step, so that most of the time one is being written.
pub(crate) const BUSY: &str =
    "checkpoint.interval_steps=1 checkpoint.keep=3 log.interval_steps=2 train.ema_decay=0.9";

/// Kills a run of so many epochs again and again, each time at another moment of the first seconds after its start, and
/// compares what becomes of it with a run that nobody killed.
pub(crate) fn kills(count: usize, epochs: usize, ranks: usize) {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("parts");
    let options = format!("{BUSY} train.epochs={epochs}");
    for number in 0..count {
        let running = workdir.train(&format!("--name parts --resume auto {options}")).ranks(ranks).start();
        let after = Duration::from_millis(any_below(2500));
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

/// Flips a bit of every file of a run's newest checkpoint, so many times each, and resumes; with every bit the checkpoint
/// is passed over, and the run comes to the same end. Another `looks` bits of each file are only looked at.
pub(crate) fn flipped_bits(resumes: usize, looks: usize) {
    let workdir = Workdir::new(TINY);
    let options = format!("{BUSY} train.epochs=3");
    workdir.train(&format!("--name whole {options}")).ends_with(0);
    workdir.train(&format!("--name parts {options}")).ends_with(0);
    let run = workdir.run("parts");
    let newest = run.checkpoint(9);
    for name in list(&newest) {
        let file = newest.join(&name);
        let whole = fs::read(&file).unwrap();
        for _ in 0..looks {
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

/// Flips a random bit of a file and says which.
fn flip_a_bit(file: &Path) -> String {
    let mut bytes = fs::read(file).unwrap();
    let bit = any_below(8 * bytes.len() as u64);
    bytes[bit as usize / 8] ^= 1 << (bit % 8);
    fs::write(file, bytes).unwrap();
    format!("bit {bit}")
}

#[test]
fn six_kills_come_to_the_same_bits() {
    kills(6, 30, 1);
}

#[test]
fn a_flipped_bit_in_any_file_is_found() {
    flipped_bits(1, 20);
}
