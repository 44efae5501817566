//! Image folders: classes and images in the order of names, label files of flat validation folders, and refusals by name.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use regatta_data::{
    DataError, Encoding, FolderIndex, ImageFolder, IndexOrigin, Indexing, ShardIndex, Source, Split,
};

use crate::tar_bytes::{END, sample};

pub(crate) const QUIET: Indexing = Indexing { user_cache: None, progress: &|_, _| () };

/// Writes files, whose content is their own path, in folders that are created.
pub(crate) fn write_tree(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
}

fn train(root: &Path) -> Result<FolderIndex, DataError> {
    FolderIndex::train(root, &QUIET).map(|(index, _)| index)
}

fn validation(root: &Path, labels: Option<&Path>) -> Result<FolderIndex, DataError> {
    FolderIndex::validation(root, labels, &train(root)?, &QUIET).map(|(index, _)| index)
}

fn images(index: &FolderIndex) -> Vec<(String, usize)> {
    (0..index.len()).map(|image| (index.path(image).display().to_string(), index.label(image))).collect()
}

/// Returns the message and its causes without the name of the temporary folder.
pub(crate) fn message(error: DataError, root: &Path) -> String {
    let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    let text = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    text.replace(&root.display().to_string(), "ROOT")
}

#[test]
fn images_are_fetched_with_the_label_of_their_folder() {
    let root = tempfile::tempdir().unwrap();
    write_tree(
        root.path(),
        &["train/dog/b.PNG", "train/dog/a.jpeg", "train/cat/x/1.webp", "train/cat/2.jpg"],
    );
    write_tree(root.path(), &["train/cat/notes.txt", "train/cat/3.bmp", "train/readme.jpg"]);
    let index = train(root.path()).unwrap();
    assert_eq!((index.skipped().files, index.skipped().example.as_str()), (1, "cat/3.bmp"));
    let source = ImageFolder::new(root.path(), Split::Train, index);
    assert_eq!((source.len(), source.classes(), source.encoding()), (4, 2, Encoding::Compressed));
    assert_eq!(source.class_names().unwrap(), ["cat", "dog"]);
    let mut stored = vec![9; 100];
    let expected = [("cat/2.jpg", 0), ("cat/x/1.webp", 0), ("dog/a.jpeg", 1), ("dog/b.PNG", 1)];
    for (index, (name, label)) in expected.into_iter().enumerate() {
        assert_eq!(source.fetch(index, &mut stored).unwrap(), label);
        assert_eq!(stored, format!("train/{name}").into_bytes());
        assert_eq!(source.name(index), root.path().join("train").join(name).display().to_string());
    }
}

#[test]
fn an_image_that_is_gone_is_named() {
    let root = tempfile::tempdir().unwrap();
    write_tree(root.path(), &["train/cat/1.jpg"]);
    symlink("nowhere", root.path().join("train/cat/2.jpg")).unwrap();
    let source = ImageFolder::new(root.path(), Split::Train, train(root.path()).unwrap());
    let error = source.fetch(1, &mut Vec::new()).unwrap_err();
    assert_eq!(
        message(error, root.path()),
        "cannot read ROOT/train/cat/2.jpg: No such file or directory (os error 2)"
    );
}

#[test]
fn unusable_folders_are_refused() {
    let check = |files: &[&str], expected: &str| {
        let root = tempfile::tempdir().unwrap();
        write_tree(root.path(), files);
        assert_eq!(message(validation(root.path(), None).unwrap_err(), root.path()), expected);
    };
    check(
        &[],
        "there is no folder ROOT/train: an image folder has folders of classes under train and val of data.folder",
    );
    check(
        &["train/a.jpg"],
        "ROOT/train has no class folders; where all validation images lie in one folder, data.val_labels names the \
         file of their labels",
    );
    check(
        &["train/a/1.jpg", "train/b/1.tif", "train/b/2.tif", "train/c/x.txt"],
        "ROOT/train: no image (.jpg, .jpeg, .png, .webp) in b, c; 2 files of other formats were skipped, such as b/1.tif",
    );
    check(
        &["train/a/1.jpg", "train/b/1.jpg", "train/c/1.jpg", "val/b/1.jpg", "val/d/1.jpg"],
        "the classes of ROOT/val and its train folder differ: only train has a, c; only val has d",
    );
}

#[test]
fn links_in_a_circle_and_pipes_are_refused() {
    let root = tempfile::tempdir().unwrap();
    write_tree(root.path(), &["train/a/1.jpg", "other/2.jpg"]);
    symlink("../../other", root.path().join("train/a/linked")).unwrap();
    assert_eq!(images(&train(root.path()).unwrap())[1].0, "a/linked/2.jpg");
    symlink("..", root.path().join("train/a/up")).unwrap();
    assert_eq!(
        message(train(root.path()).unwrap_err(), root.path()),
        "ROOT/train/a/up/a is a link to a folder that contains it"
    );
    fs::remove_file(root.path().join("train/a/up")).unwrap();
    let pipe = root.path().join("train/a/pipe.jpg");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(
        message(train(root.path()).unwrap_err(), root.path()),
        "ROOT/train/a/pipe.jpg is a pipe, socket or device where an image is expected"
    );
}

#[test]
fn pipes_in_place_of_label_files_class_names_and_archives_are_refused() {
    let root = tempfile::tempdir().unwrap();
    write_tree(root.path(), &["train/a/1.jpg", "val/1.jpg"]);
    let shards = crate::tar::write(root.path(), &[[sample("1", "0"), END.to_vec()].concat()]);
    let pipe = root.path().join("classes.txt");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let errors = [
        validation(root.path(), Some(&pipe)).unwrap_err(),
        crate::tar::index(&shards).unwrap_err(),
        ShardIndex::archive_of_classes(&pipe, &QUIET).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(message(error, root.path()), "cannot read ROOT/classes.txt: not a regular file");
    }
}

const FLAT: [&str; 6] =
    ["train/n2/1.jpg", "train/n1/1.jpg", "train/n3/1.jpg", "val/v1.JPEG", "val/v2.JPEG", "val/v 3.JPEG"];

/// Opens a flat validation folder with these labels.
fn labelled(labels: &str) -> Result<Vec<usize>, String> {
    let root = tempfile::tempdir().unwrap();
    write_tree(root.path(), &FLAT);
    let file = root.path().join("labels.txt");
    fs::write(&file, labels).unwrap();
    let index = validation(root.path(), Some(&file)).map_err(|error| message(error, root.path()))?;
    let names: Vec<_> = images(&index).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        (names, index.classes()),
        (
            vec!["v 3.JPEG".into(), "v1.JPEG".into(), "v2.JPEG".into()],
            &["n1", "n2", "n3"].map(String::from)[..]
        )
    );
    Ok((0..3).map(|image| index.label(image)).collect())
}

#[test]
fn a_label_file_names_images_or_follows_their_order() {
    let check = |labels, expected: [usize; 3]| assert_eq!(labelled(labels).unwrap(), expected);
    check("v1.JPEG n3\nv2.JPEG n1\nv 3.JPEG n2\n", [1, 2, 0]);
    check("v1\tn3\r\n\nv2\tn1\r\nv 3  n2\r\n", [1, 2, 0]);
    check("v1.JPEG 2\nv2.JPEG 0\nv 3.JPEG 1\n", [1, 2, 0]);
    check("n2\nn3\nn1\n", [1, 2, 0]);
}

#[test]
fn label_files_that_leave_a_doubt_are_refused() {
    let check = |labels: &str, expected: &str| {
        let expected = format!("the label file ROOT/labels.txt is not usable: {expected}");
        assert_eq!(labelled(labels).unwrap_err(), expected);
    };
    check(
        "490\n361\n171\n",
        "it has one number a line, as ILSVRC2012_validation_ground_truth.txt, whose numbers are not in the order of the \
         class folders; write lines NAME CLASS, or CLASS in the order of the sorted file names, where CLASS is a class \
         folder's name such as n1",
    );
    let not_a_class = "is not a class; expected are names of class folders, or after an image's name numbers from 0 in \
                       the order of the sorted folders";
    check("v1 0\nv2 3\nv 3 1\n", &format!("line 2: 3 {not_a_class}"));
    check("v1 n1\nv2 1\nv 3 n1\n", &format!("line 2: 1 {not_a_class}"));
    check("n1\nn2\nn4\n", &format!("line 3: n4 {not_a_class}"));
    check("v1 n1\nn2\n", "line 2 is not like the first: either all lines are NAME CLASS, or all are CLASS");
    check("n1\nn2\n", "it has 2 lines for 3 images");
    check("", "it has 0 lines for 3 images");
    check("v1 n1\nv2 n1\n", "it has no label for v 3.JPEG");
    check("v1 n1\nv2 n1\nv 3 n1\nv4 n1\n", "line 4: there is no image v4");
    check("v1 n1\nv1.JPEG n2\n", "line 2: a second label of v1.JPEG");
}

#[test]
fn an_index_in_bytes_is_the_same_and_a_damaged_one_is_refused() {
    let root = tempfile::tempdir().unwrap();
    write_tree(root.path(), &["train/a/1.jpg", "train/a/2.bmp", "train/b/1.jpg"]);
    let index = train(root.path()).unwrap();
    let bytes = index.to_bytes();
    assert_eq!(FolderIndex::from_bytes(&bytes).unwrap(), index);
    for length in 0..bytes.len() {
        assert!(FolderIndex::from_bytes(&bytes[..length]).is_err(), "cut at {length}");
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let place = text.find("1.jpg").unwrap();
    for name in [b"../.x", b"/etc/", b"a//.b"] {
        let outside = [&bytes[..place], name, &bytes[place + 5..]].concat();
        assert!(FolderIndex::from_bytes(&outside).is_err(), "{name:?}");
    }
}

#[test]
fn the_hash_is_that_of_names_and_labels() {
    let hash = |files: &[&str]| {
        let root = tempfile::tempdir().unwrap();
        write_tree(root.path(), files);
        train(root.path()).unwrap().hash()
    };
    let first = hash(&["train/a/1.jpg", "train/b/2.jpg"]);
    assert_eq!(hash(&["train/b/2.jpg", "train/a/1.jpg", "train/a/notes.txt"]), first);
    for other in [["train/a/1.jpg", "train/b/3.jpg"], ["train/a/1.jpg", "train/c/2.jpg"]] {
        assert_ne!(hash(&other), first, "{other:?}");
    }
}

#[test]
fn progress_counts_class_folders_while_an_index_is_built() {
    let root = tempfile::tempdir().unwrap();
    write_tree(root.path(), &["train/a/1.jpg", "train/b/1.jpg", "train/c/1.jpg"]);
    let calls = std::cell::RefCell::new(Vec::new());
    let indexing =
        Indexing { user_cache: None, progress: &|done, total| calls.borrow_mut().push((done, total)) };
    let (_, origin) = FolderIndex::train(root.path(), &indexing).unwrap();
    assert_eq!(calls.take(), [(1, 3), (2, 3), (3, 3)]);
    let place = root.path().join(".regatta-train.index");
    assert_eq!(origin, IndexOrigin::Built(place.clone()));
    assert_eq!(FolderIndex::train(root.path(), &indexing).unwrap().1, IndexOrigin::Cached(place));
    assert_eq!(calls.take(), []);
}

/// An index in bytes: 1000 classes of 1000 images with names of ImageNet's form.
fn a_million_names() -> Vec<u8> {
    let mut bytes = 1_u64.to_le_bytes().to_vec();
    let count = |bytes: &mut Vec<u8>, count: usize| bytes.extend((count as u64).to_le_bytes());
    count(&mut bytes, 1000);
    for class in 0..1000 {
        count(&mut bytes, 9);
        bytes.extend(format!("n{class:08}").into_bytes());
    }
    let (mut names, mut ends) = (String::new(), Vec::new());
    for image in 0..1_000_000 {
        names += &format!("n{:08}_{image}.JPEG", image / 1000);
        ends.push(names.len() as u32);
    }
    count(&mut bytes, names.len());
    bytes.extend(names.into_bytes());
    for numbers in [ends, (0..1_000_000).map(|image| image / 1000).collect()] {
        count(&mut bytes, numbers.len());
        bytes.extend(numbers.into_iter().flat_map(u32::to_le_bytes));
    }
    count(&mut bytes, 0); // skipped files
    count(&mut bytes, 1);
    count(&mut bytes, 0);
    bytes
}

#[test]
fn an_index_of_a_million_names_takes_28_bytes_an_image() {
    let bytes = a_million_names();
    let index = FolderIndex::from_bytes(&bytes).unwrap();
    assert_eq!((index.len(), index.classes().len()), (1_000_000, 1000));
    assert_eq!(index.path(999_999), Path::new("n00000999/n00000999_999999.JPEG"));
    assert_eq!(index.label(123_456), 123);
    assert!(index.to_bytes() == bytes && bytes.len() < 30_000_000, "{} bytes", bytes.len());
}
