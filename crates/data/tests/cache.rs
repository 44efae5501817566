//! A cached index is used while the data are unchanged; a damaged or outdated one is built anew, wherever it can be kept.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use regatta_data::{FolderIndex, IndexOrigin, Indexing, user_cache_folder};

use crate::folder::write_tree;

fn open(root: &Path, user_cache: Option<&Path>) -> (FolderIndex, IndexOrigin) {
    FolderIndex::train(root, &Indexing { user_cache, progress: &|_, _| () }).unwrap()
}

fn tree() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    write_tree(root.path(), &["train/a/1.jpg", "train/a/deep/2.jpg", "train/b/1.jpg"]);
    let place = root.path().join(".regatta-train.index");
    (root, place)
}

#[test]
fn any_damage_leads_to_a_new_index() {
    let (root, place) = tree();
    let (index, _) = open(root.path(), None);
    let whole = fs::read(&place).unwrap();
    for position in (0..whole.len()).step_by(5) {
        let mut damaged = whole.clone();
        damaged[position] ^= 1;
        fs::write(&place, damaged).unwrap();
        assert_eq!(open(root.path(), None), (index.clone(), IndexOrigin::Built(place.clone())), "{position}");
        assert_eq!(fs::read(&place).unwrap(), whole);
    }
    for length in [0, 10, whole.len() - 1] {
        fs::write(&place, &whole[..length]).unwrap();
        assert_eq!(open(root.path(), None).1, IndexOrigin::Built(place.clone()));
    }
    assert_eq!(open(root.path(), None), (index, IndexOrigin::Cached(place)));
    let left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "no temporary files: {left:?}");
}

#[test]
fn a_changed_folder_is_indexed_again() {
    let (root, place) = tree();
    let set_time = |folder: &str, seconds| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        fs::File::open(root.path().join(folder)).unwrap().set_modified(time).unwrap();
    };
    // Times of the test's own, since a change within the file system's resolution of time is not seen.
    let set_all =
        |seconds| ["train", "train/a", "train/a/deep", "train/b"].map(|folder| set_time(folder, seconds));
    set_all(1_000);
    let (first, _) = open(root.path(), None);
    assert_eq!(open(root.path(), None).1, IndexOrigin::Cached(place.clone()));
    for (number, (file, folder)) in
        [("train/a/deep/3.jpg", "train/a/deep"), ("train/c/1.jpg", "train"), ("train/b/0.jpg", "train/b")]
            .into_iter()
            .enumerate()
    {
        write_tree(root.path(), &[file]);
        set_all(1_000);
        set_time(folder, 2_000 + number as u64);
        let (index, origin) = open(root.path(), None);
        assert_eq!(
            (index.len(), origin),
            (first.len() + number + 1, IndexOrigin::Built(place.clone())),
            "{file}"
        );
    }
    fs::write(root.path().join("train/b/0.jpg"), "another content").unwrap();
    assert_eq!(open(root.path(), None).1, IndexOrigin::Cached(place));
}

#[test]
fn the_users_folder_takes_what_cannot_lie_beside_the_data() {
    let (root, place) = tree();
    // A folder in the way of the file: permissions would not stop root.
    fs::create_dir(&place).unwrap();
    let user = tempfile::tempdir().unwrap();
    let caches = user.path().join("regatta");
    let (index, origin) = open(root.path(), Some(&caches));
    let IndexOrigin::Built(file) = origin else { panic!("{origin:?}") };
    assert_eq!(file.parent(), Some(&*caches));
    assert_eq!(open(root.path(), Some(&caches)), (index.clone(), IndexOrigin::Cached(file)));
    let (again, origin) = open(root.path(), None);
    assert_eq!(again, index);
    assert!(
        matches!(&origin, IndexOrigin::NotCached(reason) if reason.contains("Is a directory")),
        "{origin:?}"
    );
}

#[test]
fn an_index_of_another_label_file_is_not_taken() {
    let (root, _) = tree();
    write_tree(root.path(), &["val/v1.jpg", "val/v2.jpg"]);
    let quiet = Indexing { user_cache: None, progress: &|_, _| () };
    let (train, _) = open(root.path(), None);
    for (name, text, expected) in
        [("one.txt", "a\nb\n", [0, 1]), ("other.txt", "b\na\n", [1, 0]), ("one.txt", "a\nb\n", [0, 1])]
    {
        let labels = root.path().join(name);
        if !labels.exists() {
            fs::write(&labels, text).unwrap();
        }
        let (index, _) = FolderIndex::validation(root.path(), Some(&labels), &train, &quiet).unwrap();
        assert_eq!([index.label(0), index.label(1)], expected, "{name}");
    }
}

#[test]
fn the_users_folder_follows_the_xdg_specification() {
    let check = |variables: &[(&str, &str)], expected: Option<&str>| {
        let read = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| OsString::from(value))
        };
        assert_eq!(user_cache_folder(read), expected.map(PathBuf::from));
    };
    check(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")], Some("/c/regatta"));
    check(&[("XDG_CACHE_HOME", "relative"), ("HOME", "/h")], Some("/h/.cache/regatta"));
    check(&[("HOME", "/h")], Some("/h/.cache/regatta"));
    check(&[], None);
}
