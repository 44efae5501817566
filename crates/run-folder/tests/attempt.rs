//! Attempts are numbered without gap or repetition, and the newest owns the folder.

use std::fs;
use std::sync::Barrier;

use expect_test::expect;
use regatta_run_folder::{Attempt, AttemptRecord, AttemptStart, ExitCode};

fn start() -> AttemptStart {
    AttemptStart {
        started_at: "2026-01-31T08:15:00Z".to_owned(),
        user: "ada".to_owned(),
        host: "node7".to_owned(),
        process_id: 4711,
        world_size: 8,
        command_line: vec!["trainer".to_owned(), "--config".to_owned(), "a b.toml".to_owned()],
        from_step: Some(20),
    }
}

#[test]
fn an_attempt_records_its_start_and_its_end() {
    let (_root, folder) = crate::run_folder();
    let attempt = Attempt::start(&folder, &start()).unwrap();
    expect![[r#"
        {
          "number": 1,
          "started_at": "2026-01-31T08:15:00Z",
          "user": "ada",
          "host": "node7",
          "process_id": 4711,
          "world_size": 8,
          "command_line": [
            "trainer",
            "--config",
            "a b.toml"
          ],
          "from_step": 20,
          "end": null
        }
    "#]]
    .assert_eq(&fs::read_to_string(folder.attempt(1)).unwrap());

    attempt.finish("terminated, checkpoint of step 469 saved", ExitCode::Preempted).unwrap();
    let record = AttemptRecord::read(&folder.attempt(1)).unwrap();
    assert_eq!(record.start, start());
    let end = record.end.unwrap();
    assert_eq!((end.end.as_str(), end.exit_code), ("terminated, checkpoint of step 469 saved", 75));
}

#[test]
fn only_the_newest_attempt_owns_the_folder() {
    let (_root, folder) = crate::run_folder();
    let first = Attempt::start(&folder, &start()).unwrap();
    assert!(first.is_newest().unwrap());
    let second = Attempt::start(&folder, &start()).unwrap();
    assert_eq!((first.number(), second.number()), (1, 2));
    assert!(!first.is_newest().unwrap() && second.is_newest().unwrap());
    assert_eq!(Attempt::newest(&folder).unwrap(), Some(2));
}

#[test]
fn foreign_and_half_written_files_do_not_confuse_the_numbers() {
    let (_root, folder) = crate::run_folder();
    folder.create().unwrap();
    assert_eq!(Attempt::newest(&folder).unwrap(), None);
    for name in [".000009.tmp-1-0", "notes.txt", "000004"] {
        fs::write(folder.attempts().join(name), "").unwrap();
    }
    assert_eq!(Attempt::start(&folder, &start()).unwrap().number(), 5);
    let error = AttemptRecord::read(&folder.attempt(4)).unwrap_err().to_string();
    assert!(error.contains("attempts/000004: not a record of an attempt: EOF"), "{error}");
}

#[test]
fn concurrent_starts_take_different_numbers() {
    const STARTS: usize = 16;
    let (_root, folder) = crate::run_folder();
    let barrier = Barrier::new(STARTS);
    let mut numbers: Vec<u64> = std::thread::scope(|scope| {
        let one = || {
            barrier.wait();
            Attempt::start(&folder, &start()).unwrap().number()
        };
        let threads: Vec<_> = (0..STARTS).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(1..=STARTS as u64), "{numbers:?}");
}

#[test]
fn a_start_here_names_this_process() {
    let start = AttemptStart::here(2, vec!["trainer".to_owned()], 0);
    assert_eq!((start.process_id, start.world_size), (std::process::id(), 2));
    assert!(!start.host.is_empty() && !start.user.is_empty());
    assert!(start.started_at.as_str() > "2026" && start.started_at.len() == 20, "{}", start.started_at);
}

/// The recorded step shows that there were checkpoints, even if they were deleted.
#[test]
fn the_last_saved_step_is_remembered() {
    let (_root, folder) = crate::run_folder();
    assert_eq!(Attempt::last_saved_step(&folder).unwrap(), None);
    let mut first = Attempt::start(&folder, &start()).unwrap();
    assert_eq!(Attempt::last_saved_step(&folder).unwrap(), None);
    for step in [3, 6] {
        first.note_saved(step).unwrap();
        assert_eq!(Attempt::last_saved_step(&folder).unwrap(), Some(step));
    }
    drop(Attempt::start(&folder, &start()).unwrap());
    fs::write(folder.attempt(3), "").unwrap();
    assert_eq!(Attempt::last_saved_step(&folder).unwrap(), Some(6));
    AttemptRecord::end_as_seen(&folder, 1, "killed", 137).unwrap();
    assert_eq!(AttemptRecord::read(&folder.attempt(1)).unwrap().saved_step, Some(6));
}
