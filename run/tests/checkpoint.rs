//! Checkpoints exist whole or not at all; damage is found, named and skipped.

use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect;
use regatta_run::checkpoint::{best, newest_valid, prune, remove_after, set_best};
use regatta_run::{Checkpoint, CheckpointWriter, RunFolder};

fn begin(folder: &RunFolder, step: u64, content: &str) -> CheckpointWriter {
    let writer = CheckpointWriter::begin(folder, step).unwrap();
    fs::write(writer.dir().join("state.json"), format!("{{\"step\":{step}}}")).unwrap();
    fs::write(writer.dir().join("model.safetensors"), content).unwrap();
    writer
}

fn write(folder: &RunFolder, step: u64) -> Checkpoint {
    begin(folder, step, &format!("weights of step {step}")).commit().unwrap()
}

/// Names in the folder of checkpoints, hidden ones too.
fn names(folder: &RunFolder) -> Vec<String> {
    let entries = fs::read_dir(folder.checkpoints()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn flip_last_bit(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_committed_checkpoint_verifies_and_has_its_manifest() {
    let (_root, folder) = crate::run_folder();
    let written = write(&folder, 469);
    assert_eq!(written.path, folder.checkpoint(469));
    assert_eq!(Checkpoint::verify(&written.path).unwrap(), written);
    assert_eq!(newest_valid(&folder).unwrap(), (Some(written), vec![]));
    assert_eq!(names(&folder), ["step-000000469"]);
    expect![[r#"
        {
          "format_version": 1,
          "step": 469,
          "files": [
            {
              "name": "model.safetensors",
              "bytes": 19,
              "blake3": "a9cee5fe474b3ba2867b9c5d03d73cdf21d7d7f86947194475dc7294db402ef5"
            },
            {
              "name": "state.json",
              "bytes": 12,
              "blake3": "fc5a6657a0927602acab35637c35a82c579f84e48c4b863df89ca0c6bb44f92b"
            }
          ]
        }"#]]
    .assert_eq(&fs::read_to_string(folder.checkpoint(469).join("manifest.json")).unwrap());
}

#[test]
fn before_the_commit_there_is_no_checkpoint_and_leftovers_go_at_the_next_begin() {
    let (_root, folder) = crate::run_folder();
    assert_eq!(newest_valid(&folder).unwrap(), (None, vec![]));
    let dead = begin(&folder, 7, "never finished");
    assert_eq!(newest_valid(&folder).unwrap(), (None, vec![]));
    let left: PathBuf = dead.dir().to_owned();
    drop(dead);
    assert!(left.exists());
    write(&folder, 8);
    assert_eq!(names(&folder), ["step-000000008"]);
}

#[test]
fn each_kind_of_damage_is_named() {
    let check = |damage: &dyn Fn(&Path), expected: &str| {
        let (_root, folder) = crate::run_folder();
        let path = write(&folder, 5).path;
        damage(&path);
        let damaged = Checkpoint::verify(&path).unwrap_err();
        assert_eq!((&damaged.path, damaged.reason.as_str()), (&path, expected));
        assert_eq!(damaged.to_string(), format!("the checkpoint {} is damaged: {expected}", path.display()));
    };
    let manifest = |path: &Path, from: &str, to: &str| {
        let path = path.join("manifest.json");
        fs::write(&path, fs::read_to_string(&path).unwrap().replacen(from, to, 1)).unwrap();
    };
    check(
        &|path| flip_last_bit(&path.join("model.safetensors")),
        "the content of model.safetensors does not have the hash that the manifest says",
    );
    check(
        &|path| fs::write(path.join("model.safetensors"), "weights").unwrap(),
        "model.safetensors has 7 bytes where the manifest says 17",
    );
    check(&|path| fs::remove_file(path.join("state.json")).unwrap(), "state.json is missing");
    check(&|path| fs::remove_file(path.join("manifest.json")).unwrap(), "manifest.json is missing");
    check(&|path| fs::remove_dir_all(path).unwrap(), "manifest.json is missing");
    check(
        &|path| fs::write(path.join("manifest.json"), "{\"step\":").unwrap(),
        "manifest.json is not valid JSON: EOF while parsing a value at line 1 column 8",
    );
    check(
        &|path| manifest(path, "\"format_version\": 1", "\"format_version\": 2"),
        "manifest.json is of format version 2, this program reads 1",
    );
    check(
        &|path| manifest(path, "\"step\"", "\"steps\""),
        "manifest.json is no manifest: missing field `step`",
    );
}

#[test]
fn the_newest_undamaged_checkpoint_is_found_and_newer_damaged_ones_are_named() {
    let (_root, folder) = crate::run_folder();
    for step in [1, 20, 300, 4000] {
        write(&folder, step);
    }
    fs::create_dir(folder.checkpoints().join("step-9999")).unwrap();
    flip_last_bit(&folder.checkpoint(1).join("state.json"));
    flip_last_bit(&folder.checkpoint(300).join("state.json"));
    fs::remove_file(folder.checkpoint(4000).join("state.json")).unwrap();
    let (found, damaged) = newest_valid(&folder).unwrap();
    assert_eq!(found.unwrap().step(), 20);
    let damaged: Vec<_> = damaged.into_iter().map(|damaged| damaged.path).collect();
    assert_eq!(damaged, [folder.checkpoint(4000), folder.checkpoint(300)]);
}

#[test]
fn an_equal_checkpoint_of_the_same_step_stays_and_any_other_is_replaced() {
    let (_root, folder) = crate::run_folder();
    let model = folder.checkpoint(3).join("model.safetensors");
    let first = write(&folder, 3);
    assert_eq!(begin(&folder, 3, "weights of step 3").commit().unwrap(), first);
    let second = begin(&folder, 3, "newer weights").commit().unwrap();
    assert_eq!(Checkpoint::verify(&first.path).unwrap(), second);
    assert_eq!(fs::read_to_string(&model).unwrap(), "newer weights");

    flip_last_bit(&model);
    let third = begin(&folder, 3, "other weights").commit().unwrap();
    assert_eq!(Checkpoint::verify(&third.path).unwrap(), third);
    assert_eq!(fs::read_to_string(&model).unwrap(), "other weights");
    assert_eq!(names(&folder), ["step-000000003"]);
}

#[test]
fn a_folder_within_a_checkpoint_is_refused() {
    let (_root, folder) = crate::run_folder();
    let writer = begin(&folder, 3, "");
    fs::create_dir(writer.dir().join("more")).unwrap();
    let error = writer.commit().unwrap_err().to_string();
    assert!(error.ends_with("more: a checkpoint consists of plain files with names in UTF-8"), "{error}");
    assert_eq!(newest_valid(&folder).unwrap(), (None, vec![]));
}

#[test]
fn pruning_keeps_the_newest_and_the_best() {
    let check = |keep, protect_best, expected: &[u64]| {
        let (_root, folder) = crate::run_folder();
        (1..=5).for_each(|step| drop(write(&folder, step)));
        set_best(&folder, 2).unwrap();
        let removed = prune(&folder, keep, protect_best).unwrap();
        let stays = |step: &u64| folder.checkpoint(*step).exists();
        let kept: Vec<u64> = (1..=5).filter(stays).collect();
        assert_eq!(kept, expected, "keep {keep}, protect_best {protect_best}");
        let gone: Vec<_> = (1..=5).filter(|step| !stays(step)).map(|step| folder.checkpoint(step)).collect();
        assert_eq!(removed, gone);
        assert_eq!(names(&folder).len(), kept.len() + 1, "nothing hidden stays: {:?}", names(&folder));
    };
    check(2, true, &[2, 4, 5]);
    check(2, false, &[4, 5]);
    check(0, true, &[2, 5]);
    check(4, true, &[2, 3, 4, 5]);
    check(9, false, &[1, 2, 3, 4, 5]);
}

#[test]
fn the_best_checkpoint_is_a_relative_link_that_moves() {
    let (root, folder) = crate::run_folder();
    assert_eq!(best(&folder).unwrap(), None);
    write(&folder, 1);
    write(&folder, 2);
    for step in [1, 2] {
        set_best(&folder, step).unwrap();
        assert_eq!(best(&folder).unwrap(), Some(step));
    }
    let error = set_best(&folder, 3).unwrap_err().to_string();
    assert!(error.ends_with("step-000000003: No such file or directory (os error 2)"), "{error}");
    assert_eq!(names(&folder), ["best", "step-000000001", "step-000000002"]);

    // The run folder may be moved.
    fs::rename(folder.path(), root.path().join("y")).unwrap();
    let moved = RunFolder::new(root.path(), "y");
    assert_eq!(Checkpoint::verify(&moved.best()).unwrap().step(), 2);

    fs::remove_file(moved.best()).unwrap();
    std::os::unix::fs::symlink("elsewhere", moved.best()).unwrap();
    let error = best(&moved).unwrap_err().to_string();
    assert!(error.ends_with("best: a link to elsewhere, not to a checkpoint beside it"), "{error}");
}

#[test]
fn going_back_removes_what_is_later_and_whole() {
    let (_root, folder) = crate::run_folder();
    (1..=4).for_each(|step| drop(write(&folder, step)));
    set_best(&folder, 3).unwrap();
    fs::write(folder.checkpoint(4).join("manifest.json"), "damaged").unwrap();
    assert_eq!(remove_after(&folder, 2).unwrap(), [folder.checkpoint(3)]);
    assert_eq!(names(&folder), ["step-000000001", "step-000000002", "step-000000004"]);
    assert_eq!(remove_after(&folder, 2).unwrap(), Vec::<std::path::PathBuf>::new());
}
