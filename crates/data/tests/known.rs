//! The table of data sets holds together.

use std::fs;

use regatta_data::{DatasetName, find_file};

#[test]
fn an_entry_has_a_mean_for_each_channel_and_files_for_both_splits() {
    for name in [DatasetName::FashionMnist, DatasetName::Mnist, DatasetName::Cifar10, DatasetName::Cifar100] {
        let facts = name.facts();
        let channels = facts.channels as usize;
        assert_eq!((facts.mean.len(), facts.std.len()), (channels, channels), "{name:?}");
        assert!(facts.mean.iter().chain(facts.std).all(|&value| 0.0 < value && value < 1.0), "{name:?}");
        assert!(!facts.train_files.is_empty() && !facts.validation_files.is_empty(), "{name:?}");
        assert!([0, facts.classes as usize].contains(&facts.class_names.len()), "{name:?}");
        assert!(facts.classes > 1 && !facts.how_to_get.ends_with('.'), "{name:?}");
    }
}

#[test]
fn a_plain_file_comes_before_a_compressed_one() {
    let folder = tempfile::tempdir().unwrap();
    let found =
        || find_file(folder.path(), "images").unwrap().map(|path| path.file_name().unwrap().to_owned());
    assert_eq!(found(), None);
    fs::write(folder.path().join("images.gz"), "").unwrap();
    assert_eq!(found().unwrap(), "images.gz");
    fs::write(folder.path().join("images"), "").unwrap();
    assert_eq!(found().unwrap(), "images");
}
