//! CIFAR's binary files give pixels with channels innermost and fine labels; invalid files are refused by name.

use std::fs;
use std::path::Path;

use regatta_data::{DatasetName, Encoding, ImageShape, Source, Split};

/// An image after its labels: the value of a pixel is its plane's `first` plus its position.
fn record(labels: &[u8], first: [u8; 3]) -> Vec<u8> {
    let planes = first.map(|first| (0..1024).map(move |position| first.wrapping_add(position as u8)));
    labels.iter().copied().chain(planes.into_iter().flatten()).collect()
}

fn open(name: DatasetName, folder: &Path, split: Split) -> Result<Box<dyn Source>, String> {
    let opened = name.facts().open(folder, split);
    opened.map_err(|error| error.to_string().replace(&folder.display().to_string(), "FOLDER"))
}

fn write_cifar10(folder: &Path) {
    for batch in 1..=5_u8 {
        let images = [record(&[batch], [batch, 100, 200]), record(&[0], [0; 3])].concat();
        fs::write(folder.join(format!("data_batch_{batch}.bin")), images).unwrap();
    }
}

#[test]
fn training_batches_follow_each_other_with_channels_innermost() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("cifar-10-batches-bin");
    fs::create_dir(&folder).unwrap();
    write_cifar10(&folder);
    for given in [parent.path(), &folder] {
        let source = open(DatasetName::Cifar10, given, Split::Train).unwrap();
        let shape = ImageShape { channels: 3, height: 32, width: 32 };
        assert_eq!((source.len(), source.classes(), source.encoding()), (10, 10, Encoding::Pixels(shape)));
        let mut stored = Vec::new();
        assert_eq!(source.fetch(4, &mut stored).unwrap(), 3);
        assert_eq!((stored.len(), &stored[..6]), (3072, &[3, 100, 200, 4, 101, 201][..]));
        assert_eq!(source.name(4), format!("image 0 of {}", folder.join("data_batch_3.bin").display()));
        assert_eq!(source.name(9), format!("image 1 of {}", folder.join("data_batch_5.bin").display()));
        assert_eq!(source.class_names().unwrap()[3], "cat");
    }
}

#[test]
fn cifar100_is_read_by_its_fine_labels() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("test.bin"), record(&[19, 99], [1, 2, 3])).unwrap();
    let source = open(DatasetName::Cifar100, folder.path(), Split::Validation).unwrap();
    let mut stored = Vec::new();
    assert_eq!(
        (source.fetch(0, &mut stored).unwrap(), source.class_names().unwrap()[99].as_str()),
        (99, "worm")
    );
    assert_eq!(stored[..3], [1, 2, 3]);
}

#[test]
fn wrong_files_are_refused_with_what_was_found() {
    let check = |file: &[u8], expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("test_batch.bin"), file).unwrap();
        let opened = open(DatasetName::Cifar10, folder.path(), Split::Validation);
        assert_eq!(opened.err().unwrap(), format!("FOLDER/test_batch.bin{expected}"));
    };
    let whole = record(&[1], [0; 3]);
    check(b"", " is truncated: 3073 bytes expected (uncompressed), 0 found");
    check(&whole[..3072], " is truncated: 3073 bytes expected (uncompressed), 3072 found");
    check(&[&whole[..], &[0]].concat(), " is truncated: 6146 bytes expected (uncompressed), 3074 found");
    check(
        &[whole, record(&[10], [0; 3])].concat(),
        ": label 10 of image 1 is out of range, 10 classes allow 0 to 9",
    );
}

#[test]
fn a_missing_file_is_named_with_the_way_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let message = open(DatasetName::Cifar10, folder.path(), Split::Train).err().unwrap();
    assert!(message.contains("neither data_batch_1.bin nor data_batch_1.bin.gz is in FOLDER"), "{message}");
    assert!(message.ends_with("set data.folder to its folder cifar-10-batches-bin"), "{message}");
}
