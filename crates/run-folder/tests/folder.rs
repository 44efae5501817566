//! Paths, exit codes and atomic file writes are as documented.

use std::fs;
use std::path::Path;

use expect_test::expect;
use regatta_run_folder::{ExitCode, RunFolder, describe, write_atomic};

#[test]
fn everything_lies_where_the_documentation_says() {
    let folder = RunFolder::new("runs", "x");
    let paths = [
        folder.path().to_owned(),
        folder.attempt(1),
        folder.config(),
        folder.metrics(),
        folder.curves(),
        folder.tensorboard(),
        folder.log(0),
        folder.ledger(12),
        folder.checkpoint(469),
        folder.best(),
    ];
    let listing: String = paths.iter().map(|path| format!("{}\n", path.display())).collect();
    expect![[r#"
        runs/x
        runs/x/attempts/000001
        runs/x/config.toml
        runs/x/metrics.jsonl
        runs/x/curves.svg
        runs/x/tensorboard
        runs/x/log/rank-0000.log
        runs/x/ranks/rank-0012.ledger
        runs/x/checkpoints/step-000000469
        runs/x/checkpoints/best
    "#]]
    .assert_eq(&listing);
}

#[test]
fn creating_a_folder_twice_keeps_what_is_in_it() {
    let (_root, folder) = crate::run_folder();
    assert!(!folder.exists().unwrap());
    folder.create().unwrap();
    fs::write(folder.log(0), "kept").unwrap();
    folder.create().unwrap();
    assert!(folder.exists().unwrap());
    assert_eq!(fs::read(folder.log(0)).unwrap(), b"kept");
}

#[test]
fn a_folder_that_cannot_be_created_is_named_with_the_cause() {
    let (root, _) = crate::run_folder();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let error = describe(&RunFolder::new(&file, "x").create().unwrap_err());
    let expected =
        format!("cannot create the folder {}/x/attempts: Not a directory (os error 20)", file.display());
    assert_eq!(error, expected);
}

#[test]
fn a_file_in_its_place_is_no_run_folder() {
    let (root, folder) = crate::run_folder();
    fs::write(root.path().join("x"), "").unwrap();
    let error = describe(&folder.exists().unwrap_err());
    let expected = "that is a file, but a run folder is expected here: move it away, or start the run with another --name \
                    or run.folder";
    assert_eq!(error, format!("{}: {expected}", folder.path().display()));
    let error = describe(&RunFolder::new(folder.path(), "y").exists().unwrap_err());
    assert!(error.ends_with("x/y: Not a directory (os error 20)"), "{error}");
}

/// Temporary files of any process and file are removed, but no other hidden files.
#[test]
fn leftovers_of_killed_processes_are_removed() {
    let (_root, folder) = crate::run_folder();
    folder.create().unwrap();
    let left = [
        folder.path().join(".curves.svg.tmp-123-0"),
        folder.path().join(".config.toml.tmp-4711-2"),
        folder.attempts().join(".000001.tmp-5-0"),
        folder.ranks().join(".rank-0000.ledger.tmp-6-0"),
    ];
    let stays =
        [".curves.svg.tmp-x-0", ".tmp", "curves.svg.tmp-1-1", ".notes"].map(|it| folder.path().join(it));
    left.iter().chain(&stays).for_each(|path| fs::write(path, "").unwrap());
    folder.remove_leftovers().unwrap();
    assert!(left.iter().all(|path| !path.exists()));
    assert!(stays.iter().all(|path| path.exists()));
    fs::remove_dir(folder.ranks()).unwrap();
    folder.remove_leftovers().unwrap();
}

#[test]
fn exit_codes_are_those_of_the_documentation() {
    let codes = [
        (ExitCode::Done, 0),
        (ExitCode::Usage, 2),
        (ExitCode::Data, 3),
        (ExitCode::Communication, 4),
        (ExitCode::Diverged, 5),
        (ExitCode::Storage, 6),
        (ExitCode::Internal, 70),
        (ExitCode::Preempted, 75),
    ];
    for (exit_code, code) in codes {
        assert_eq!(exit_code.code(), code, "{exit_code:?}");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_whole_and_nothing_stays_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    // A process of the same number on another host left this one.
    let leftover = format!(".file.tmp-{}-0", std::process::id());
    fs::write(folder.path().join(&leftover), "half of a").unwrap();
    for content in ["first, long", "second"] {
        write_atomic(&path, content.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    assert_eq!(names(folder.path()), [&leftover, "file"]);
}

#[test]
fn a_file_that_cannot_be_replaced_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("taken")).unwrap();
    let error = describe(&write_atomic(folder.path().join("taken"), b"x").unwrap_err());
    assert_eq!(
        error,
        format!("cannot write {}/taken: Is a directory (os error 21)", folder.path().display())
    );
    assert_eq!(names(folder.path()), ["taken"]);

    let error = describe(&write_atomic(folder.path().join("absent/file"), b"x").unwrap_err());
    assert!(error.ends_with("absent/file: No such file or directory (os error 2)"), "{error}");
}
