//! The reports of failed ranks are listed by attempt, earliest failure first.

use std::fs;

use regatta_run_folder::{ExitCode, Failure};

use crate::run_folder;

#[test]
fn failures_are_listed_by_attempt_and_ordered_by_time() {
    let (_root, folder) = run_folder();
    folder.create().unwrap();
    let failure = |attempt, rank, failed_at_ms| {
        let failure = Failure::here(attempt, rank, ExitCode::Data, "image 7 is damaged: cut short");
        Failure { failed_at_ms, ..failure }
    };
    for failure in [failure(1, 0, 10), failure(2, 2, 30), failure(2, 0, 31), failure(2, 1, 30)] {
        failure.leave(&folder).unwrap();
    }
    fs::write(folder.failure(5), "cut sh").unwrap();
    let ranks = |attempt| -> Vec<usize> {
        Failure::of_attempt(&folder, attempt).unwrap().iter().map(|failure| failure.rank).collect()
    };
    // Rank 0 of attempt 2 took the place of that of attempt 1.
    assert_eq!((ranks(1), ranks(2), ranks(3)), (vec![], vec![1, 2, 0], vec![]));
    let first = &Failure::of_attempt(&folder, 2).unwrap()[0];
    assert_eq!((first.exit_code, &*first.error), (3, "image 7 is damaged: cut short"));
    assert_eq!(first.process_id, std::process::id());
}
