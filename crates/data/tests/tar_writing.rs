//! Writing shards and copying them to a local folder both go on where they stopped.

use std::fs;
use std::path::{Path, PathBuf};

use regatta_data::{FolderIndex, ImageFolder, ShardWriter, Source, Split, stage, write_classes};

use crate::folder::{QUIET, message, write_tree};
use crate::tar::{open, write};
use crate::tar_bytes::{END, sample};

#[test]
fn written_shards_are_the_same_however_often_writing_stopped() {
    let write_from = |root: &Path, count: u32| {
        let (mut writer, done) = ShardWriter::resume(root, "train", 7_000).unwrap();
        let left = (0..10_u32).map(|number| 9 - number).skip(done.len()).take(count as usize);
        left.for_each(|number| writer.append(number, "jpg", &vec![number as u8; 1000], number % 3).unwrap());
        (writer, done)
    };
    let read = |root: &Path| -> Vec<_> {
        let mut files: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|path| (path.file_name().unwrap().to_owned(), fs::read(path).unwrap())).collect()
    };
    let at_once = tempfile::tempdir().unwrap();
    let shards = write_from(at_once.path(), 10).0.finish().unwrap();
    assert_eq!(shards.len(), 5);
    let sizes: Vec<_> = shards.iter().map(|shard| shard.metadata().unwrap().len()).collect();
    assert!(sizes.iter().all(|&size| size <= 7_000), "{sizes:?}");

    let stopped = tempfile::tempdir().unwrap();
    drop(write_from(stopped.path(), 5));
    assert_eq!(read(stopped.path()).len(), 2, "complete shards only");
    fs::write(stopped.path().join(".train-000002.tar.999999999-1.tmp"), "left by a killed process").unwrap();
    let (writer, done) = write_from(stopped.path(), 10);
    assert_eq!(done, [9, 8, 7, 6]);
    writer.finish().unwrap();
    assert_eq!(read(stopped.path()), read(at_once.path()));

    let source = open(shards);
    let mut stored = Vec::new();
    for number in 0..10 {
        assert_eq!(source.fetch(number, &mut stored).unwrap(), number as i64 % 3);
        assert_eq!(stored, vec![number as u8; 1000]);
    }
}

#[test]
fn a_writer_does_not_continue_after_foreign_shards() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("train-000000.tar"), [sample("cat", "0"), END.to_vec()].concat()).unwrap();
    assert_eq!(
        message(ShardWriter::resume(root.path(), "train", 6_000).unwrap_err(), root.path()),
        "ROOT/train-000000.tar: the keys of its images are not numbers: another program wrote it"
    );
}

#[test]
fn staging_copies_what_is_not_there_yet() {
    let root = tempfile::tempdir().unwrap();
    let shards = write(root.path(), &[vec![1; 5000], vec![2; 6000], vec![3; 7000]]);
    let local = root.path().join("local");
    let calls = std::cell::RefCell::new(Vec::new());
    let stage = || stage(&shards, &local, &|done, total| calls.borrow_mut().push((done, total))).unwrap();
    let copies = stage();
    assert_eq!(calls.take(), [(1, 3), (2, 3), (3, 3)]);
    let inode = |path: &PathBuf| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let before: Vec<_> = copies.iter().map(inode).collect();
    // One copy is cut, one original is another, and a killed process left a part.
    fs::write(&copies[0], [1; 100]).unwrap();
    fs::write(&shards[1], [4; 6000]).unwrap();
    let later = std::time::UNIX_EPOCH + std::time::Duration::from_secs(2_000_000_000);
    fs::File::options().write(true).open(&shards[1]).unwrap().set_modified(later).unwrap();
    fs::write(local.join(".2.tar.999999999-17.tmp"), "part").unwrap();
    assert_eq!(stage(), copies);
    for (shard, copy) in shards.iter().zip(&copies) {
        assert_eq!(fs::read(shard).unwrap(), fs::read(copy).unwrap());
        assert_eq!(
            shard.metadata().unwrap().modified().unwrap(),
            copy.metadata().unwrap().modified().unwrap()
        );
    }
    assert_eq!(inode(&copies[2]), before[2], "not copied again");
    assert_eq!(fs::read_dir(&local).unwrap().count(), 3);
}

#[test]
fn shards_with_one_name_are_not_staged_over_each_other() {
    let root = tempfile::tempdir().unwrap();
    let other = root.path().join("other");
    fs::create_dir(&other).unwrap();
    let shards = [write(root.path(), &[vec![1]]), write(&other, &[vec![2]])].concat();
    let error = stage(&shards, &root.path().join("local"), &|_, _| ()).unwrap_err();
    assert_eq!(message(error, root.path()), "the shard ROOT/other/0.tar is named twice");
}

#[test]
fn a_folder_packed_in_any_order_gives_the_folders_images() {
    let root = tempfile::tempdir().unwrap();
    write_tree(
        root.path(),
        &["train/b/1.png", "train/a/3.jpg", "train/a/deep/2.webp", "train/c/9.jpeg", "train/b/0.jpg"],
    );
    let (index, _) = FolderIndex::train(root.path(), &QUIET).unwrap();
    let folder = ImageFolder::new(root.path(), Split::Train, index);
    let shards = root.path().join("shards");
    let (mut writer, _) = ShardWriter::resume(&shards, "train", 4_000).unwrap();
    let mut stored = Vec::new();
    for image in [3, 0, 4, 1, 2] {
        let label = folder.fetch(image, &mut stored).unwrap();
        writer.append(image as u32, "jpg", &stored, label as u32).unwrap();
    }
    write_classes(&shards, folder.class_names().unwrap()).unwrap();
    let packed = open(writer.finish().unwrap());
    assert_eq!((packed.len(), packed.class_names()), (folder.len(), folder.class_names()));
    let mut other = Vec::new();
    for image in 0..folder.len() {
        assert_eq!(folder.fetch(image, &mut stored).unwrap(), packed.fetch(image, &mut other).unwrap());
        assert_eq!(stored, other);
    }
}
