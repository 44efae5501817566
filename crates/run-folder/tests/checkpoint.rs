//! Checkpoints exist completely or not at all; damaged ones are detected, reported and skipped.

use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect;
use regatta_run_folder::checkpoint::{
    REQUIRED_FILES, best, newest_valid, prune, remove_after, set_aside_damaged, set_best,
};
use regatta_run_folder::{Checkpoint, CheckpointWriter, MetricsMark, RunFolder, describe};

fn begin(folder: &RunFolder, step: u64, content: &str) -> CheckpointWriter {
    let writer = CheckpointWriter::begin(folder, step).unwrap();
    fs::write(writer.dir().join("state.json"), format!("{{\"step\":{step}}}")).unwrap();
    fs::write(writer.dir().join("model.safetensors"), content).unwrap();
    fs::write(writer.dir().join("optimizer.safetensors"), "momentum").unwrap();
    fs::write(writer.dir().join("recipe.toml"), "lr = 0.1").unwrap();
    writer
}

fn write(folder: &RunFolder, step: u64) -> Checkpoint {
    begin(folder, step, &format!("weights of step {step}")).commit(None).unwrap()
}

/// Names in the folder of checkpoints, hidden ones too.
fn names(folder: &RunFolder) -> Vec<String> {
    let entries = fs::read_dir(folder.checkpoints()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn flip_last_bit(path: &Path) {
    let last = fs::read(path).unwrap().len() - 1;
    flip(path, last, 0);
}

fn flip(path: &Path, byte: usize, bit: u32) {
    let mut bytes = fs::read(path).unwrap();
    bytes[byte] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_committed_checkpoint_verifies_and_has_its_manifest() {
    let (_root, folder) = crate::run_folder();
    let mark = MetricsMark { lines: 2, bytes: 31, blake3: "c0ffee".to_owned() };
    let written = begin(&folder, 469, "weights of step 469").commit(Some(mark)).unwrap();
    assert_eq!(written.path, folder.checkpoint(469));
    assert_eq!(Checkpoint::verify(&written.path).unwrap(), written);
    assert_eq!(newest_valid(&folder).unwrap(), (Some(written), vec![]));
    assert_eq!(names(&folder), ["step-000000469"]);
    expect![[r#"
        {
          "format_version": 2,
          "step": 469,
          "metrics": {
            "lines": 2,
            "bytes": 31,
            "blake3": "c0ffee"
          },
          "files": [
            {
              "name": "model.safetensors",
              "bytes": 19,
              "blake3": "a9cee5fe474b3ba2867b9c5d03d73cdf21d7d7f86947194475dc7294db402ef5"
            },
            {
              "name": "optimizer.safetensors",
              "bytes": 8,
              "blake3": "1e7d848dafc208165740e4eaf85edf6bfec58f576e46edee9d8e4bef74bc3740"
            },
            {
              "name": "recipe.toml",
              "bytes": 8,
              "blake3": "0898ea69a2f6fc4fd9bb0bde2cdf683ee1b80da456fe355bc35d7e77a51905ce"
            },
            {
              "name": "state.json",
              "bytes": 12,
              "blake3": "fc5a6657a0927602acab35637c35a82c579f84e48c4b863df89ca0c6bb44f92b"
            }
          ],
          "blake3": "d391f0b110169c4020caa913548f890980a69c5e8da6a359af551e2d0819096a"
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
        &|path| manifest(path, "\"format_version\": 2", "\"format_version\": 1"),
        "manifest.json is of format version 1, this program reads 2",
    );
    check(&|path| manifest(path, "\"step\": 5", "\"step\": 6"), UNSEALED);
}

const UNSEALED: &str = "the content of manifest.json does not have the hash that it ends with";

/// Every change to a manifest is detected, and every file is listed in it.
#[test]
fn a_manifest_is_protected_by_its_own_hash() {
    let (_root, folder) = crate::run_folder();
    let path = write(&folder, 5).path;
    let file = path.join("manifest.json");
    let bytes = fs::read(&file).unwrap();
    for byte in (0..bytes.len()).step_by(3) {
        flip(&file, byte, byte as u32 % 8);
        assert!(Checkpoint::verify(&path).is_err(), "byte {byte}");
        fs::write(&file, &bytes).unwrap();
    }
    let whole = fs::read_to_string(&file).unwrap();
    let start = whole.find("{\n      \"name\": \"optimizer.safetensors\"").unwrap();
    let end = start + whole[start..].find("{\n      \"name\": \"recipe.toml\"").unwrap();
    fs::write(&file, [&whole[..start], &whole[end..]].concat()).unwrap();
    assert_eq!(Checkpoint::verify(&path).unwrap_err().reason, UNSEALED);
}

#[test]
fn a_checkpoint_has_the_files_that_every_one_has() {
    for name in REQUIRED_FILES {
        let (_root, folder) = crate::run_folder();
        let writer = begin(&folder, 5, "");
        fs::remove_file(writer.dir().join(name)).unwrap();
        let error = describe(&writer.commit(None).unwrap_err());
        assert!(error.ends_with(&format!("{name} is not among the checkpoint's files")), "{error}");
    }
}

#[test]
fn a_checkpoint_under_the_name_of_another_step_is_none() {
    let (_root, folder) = crate::run_folder();
    let path = write(&folder, 5).path;
    fs::rename(&path, folder.checkpoint(6)).unwrap();
    let (found, damaged) = newest_valid(&folder).unwrap();
    assert_eq!((found, damaged[0].reason.as_str()), (None, "it is of step 5, its folder's name says 6"));
}

/// Damaged checkpoints are renamed, so that those that are kept are valid.
#[test]
fn damaged_checkpoints_are_set_aside_and_do_not_count() {
    let (_root, folder) = crate::run_folder();
    for step in [40, 57, 60] {
        write(&folder, step);
    }
    set_best(&folder, 60).unwrap();
    for round in 1..=2 {
        for step in [57, 60] {
            flip_last_bit(&folder.checkpoint(step).join("model.safetensors"));
        }
        let aside = set_aside_damaged(&folder).unwrap();
        let suffix = if round == 1 { "" } else { "-2" };
        let paths: Vec<_> = aside.iter().map(|(_, path)| path.clone()).collect();
        let expected = |step| folder.checkpoints().join(format!("damaged-step-0000000{step}{suffix}"));
        assert_eq!(paths, [expected(57), expected(60)]);
        assert_eq!(best(&folder).unwrap(), None);
        for step in [42, 45, 57, 60] {
            write(&folder, step);
            prune(&folder, 2, |_| false).unwrap();
        }
        assert!(!folder.checkpoint(45).exists());
    }
    assert_eq!(
        names(&folder),
        [
            "damaged-step-000000057",
            "damaged-step-000000057-2",
            "damaged-step-000000060",
            "damaged-step-000000060-2",
            "step-000000057",
            "step-000000060"
        ]
    );
    assert_eq!(set_aside_damaged(&folder).unwrap(), []);
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
    assert_eq!(begin(&folder, 3, "weights of step 3").commit(None).unwrap(), first);
    let second = begin(&folder, 3, "newer weights").commit(None).unwrap();
    assert_eq!(Checkpoint::verify(&first.path).unwrap(), second);
    assert_eq!(fs::read_to_string(&model).unwrap(), "newer weights");

    flip_last_bit(&model);
    let third = begin(&folder, 3, "other weights").commit(None).unwrap();
    assert_eq!(Checkpoint::verify(&third.path).unwrap(), third);
    assert_eq!(fs::read_to_string(&model).unwrap(), "other weights");
    assert_eq!(names(&folder), ["step-000000003"]);
}

#[test]
fn a_folder_within_a_checkpoint_is_refused() {
    let (_root, folder) = crate::run_folder();
    let writer = begin(&folder, 3, "");
    fs::create_dir(writer.dir().join("more")).unwrap();
    let error = describe(&writer.commit(None).unwrap_err());
    assert!(error.ends_with("more: a checkpoint consists of plain files with names in UTF-8"), "{error}");
    assert_eq!(newest_valid(&folder).unwrap(), (None, vec![]));
}

#[test]
fn pruning_keeps_the_newest_the_best_and_what_is_to_stay() {
    let check = |keep, every: u64, expected: &[u64]| {
        let (_root, folder) = crate::run_folder();
        (1..=5).for_each(|step| drop(write(&folder, step)));
        set_best(&folder, 2).unwrap();
        let removed = prune(&folder, keep, |step| step.is_multiple_of(every)).unwrap();
        let stays = |step: &u64| folder.checkpoint(*step).exists();
        let kept: Vec<u64> = (1..=5).filter(stays).collect();
        assert_eq!(kept, expected, "keep {keep}, every {every}");
        let gone: Vec<_> = (1..=5).filter(|step| !stays(step)).map(|step| folder.checkpoint(step)).collect();
        assert_eq!(removed, gone);
        assert_eq!(names(&folder).len(), kept.len() + 1, "nothing hidden stays: {:?}", names(&folder));
    };
    check(2, 0, &[2, 4, 5]);
    check(1, 3, &[2, 3, 5]);
    check(0, 0, &[2, 5]);
    check(4, 0, &[2, 3, 4, 5]);
    check(9, 0, &[1, 2, 3, 4, 5]);
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
    let error = describe(&set_best(&folder, 3).unwrap_err());
    assert!(error.ends_with("step-000000003: No such file or directory (os error 2)"), "{error}");
    assert_eq!(names(&folder), ["best", "step-000000001", "step-000000002"]);

    // The run folder may be moved.
    fs::rename(folder.path(), root.path().join("y")).unwrap();
    let moved = RunFolder::new(root.path(), "y");
    assert_eq!(Checkpoint::verify(&moved.best()).unwrap().step(), 2);

    fs::remove_file(moved.best()).unwrap();
    std::os::unix::fs::symlink("elsewhere", moved.best()).unwrap();
    let error = describe(&best(&moved).unwrap_err());
    assert!(error.ends_with("best: a link to elsewhere, not to a checkpoint beside it"), "{error}");
}

#[test]
fn resuming_from_an_earlier_step_removes_later_valid_checkpoints() {
    let (_root, folder) = crate::run_folder();
    (1..=4).for_each(|step| drop(write(&folder, step)));
    set_best(&folder, 3).unwrap();
    fs::write(folder.checkpoint(4).join("manifest.json"), "damaged").unwrap();
    assert_eq!(remove_after(&folder, 2).unwrap(), [folder.checkpoint(3)]);
    assert_eq!(names(&folder), ["step-000000001", "step-000000002", "step-000000004"]);
    assert_eq!(remove_after(&folder, 2).unwrap(), Vec::<std::path::PathBuf>::new());
}
