//! Sets of shards: patterns, classes, cached indices and open files.

use std::fs;

use regatta_data::{
    FolderIndex, ImageFolder, IndexOrigin, ShardIndex, Source, Split, TarShards, expand_shards, write_classes,
};

use crate::folder::{QUIET, message, write_tree};
use crate::tar::{index, open, write};
use crate::tar_bytes::{END, file, sample};

#[test]
fn classes_come_from_the_file_beside_the_shards() {
    let root = tempfile::tempdir().unwrap();
    let shards = write(root.path(), &[[sample("a", "2"), END.to_vec()].concat()]);
    let classes = root.path().join("classes.txt");
    let names = ["cat", "dog", "tench, Tinca tinca"].map(String::from);
    write_classes(root.path(), &names).unwrap();
    assert_eq!(index(&shards).unwrap().class_names(), names);
    let check = |text: &str, expected: &str| {
        fs::write(&classes, text).unwrap();
        assert_eq!(message(index(&shards).unwrap_err(), root.path()), expected);
    };
    check("cat\ndog\n", "ROOT/0.tar: a.jpg: the label 2 is out of range: classes.txt has 2 lines");
    check("cat\n\ndog\n", "ROOT/classes.txt: each line must be the name of a class");
    check("", "ROOT/classes.txt: each line must be the name of a class");
    for names in [&["a\nb"][..], &[""], &[]] {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        assert!(write_classes(root.path(), &names).is_err());
    }
}

#[test]
fn validation_shards_get_the_classes_of_the_training_shards() {
    let set = |label: &str, classes: &[&str]| {
        let root = tempfile::tempdir().unwrap();
        let shards = write(root.path(), &[[sample("a", label), END.to_vec()].concat()]);
        if !classes.is_empty() {
            write_classes(root.path(), &classes.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        }
        (root, shards)
    };
    let check =
        |train: (&str, &[&str]), validation: (&str, &[&str]), expected: Result<(usize, usize), &str>| {
            let (_train_root, train) = set(train.0, train.1);
            let (_root, shards) = set(validation.0, validation.1);
            let found = ShardIndex::validation(&shards, &index(&train).unwrap(), &QUIET);
            let found = found.map(|(index, _)| (index.classes(), index.class_names().len()));
            assert_eq!(found.map_err(|error| error.to_string()), expected.map_err(ToOwned::to_owned));
        };
    let differ = |validation, train| {
        format!(
            "the validation shards do not have the classes of the training shards: {validation} classes, and {train} in training, or other names"
        )
    };
    check(("7", &[]), ("3", &[]), Ok((8, 0)));
    check(("1", &["a", "b", "c"]), ("2", &[]), Ok((3, 3)));
    check(("2", &[]), ("3", &[]), Err(&differ(4, 3)));
    check(("1", &["a", "b"]), ("1", &["b", "a"]), Err(&differ(2, 2)));
}

#[test]
fn a_cached_index_is_used_until_a_shard_or_the_classes_change() {
    let root = tempfile::tempdir().unwrap();
    let shards = write(
        root.path(),
        &[[sample("a", "2"), END.to_vec()].concat(), [sample("b", "1"), END.to_vec()].concat()],
    );
    let open = || ShardIndex::train(&shards, &QUIET).unwrap();
    let (first, IndexOrigin::Built(place)) = open() else { panic!("nothing is cached before") };
    assert_eq!(open(), (first.clone(), IndexOrigin::Cached(place.clone())));
    fs::write(&shards[1], [sample("b", "1"), sample("c", "1"), END.to_vec()].concat()).unwrap();
    let (second, origin) = open();
    assert_eq!((second.len(), origin), (3, IndexOrigin::Built(place.clone())));
    write_classes(root.path(), &["x", "y", "z"].map(String::from)).unwrap();
    let (third, origin) = open();
    assert_eq!((third.class_names().len(), origin), (3, IndexOrigin::Built(place)));
    let other = ShardIndex::train(&shards[..1], &QUIET).unwrap();
    assert_eq!((other.0.len(), matches!(other.1, IndexOrigin::Built(_))), (1, true));
    assert_eq!(first.hash().len(), 32);
    assert_ne!(first.hash(), second.hash());
}

#[test]
fn more_shards_than_may_be_open_are_read_by_several_threads() {
    let root = tempfile::tempdir().unwrap();
    let shard = |number: usize| [sample(&number.to_string(), "0"), END.to_vec()].concat();
    let source = open(write(root.path(), &(0..300).map(shard).collect::<Vec<_>>()));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let source = &source;
            scope.spawn(move || {
                let mut stored = Vec::new();
                for index in (0..600).map(|step| (step * 7 + thread * 31) % 300) {
                    source.fetch(index, &mut stored).unwrap();
                    assert_eq!(stored, index.to_string().into_bytes());
                }
            });
        }
    });
    let open =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let shards_open = open.filter(|path| path.starts_with(root.path())).count();
    assert!((1..=256).contains(&shards_open), "{shards_open} shards are open");
}

#[test]
fn braces_name_shards_as_in_a_shell() {
    let root = tempfile::tempdir().unwrap();
    let names = ["a-8.tar", "a-9.tar", "a-10.tar", "b-008.tar", "b-009.tar", "b-010.tar"];
    names.iter().for_each(|name| fs::write(root.path().join(name), "").unwrap());
    let expand = |pattern: &str| match expand_shards(root.path(), pattern) {
        Ok(shards) => {
            shards.iter().map(|shard| shard.file_name().unwrap().to_string_lossy().into_owned()).collect()
        }
        Err(error) => vec![message(error.into(), root.path())],
    };
    let check = |pattern: &str, expected: &[&str]| assert_eq!(expand(pattern), expected, "{pattern}");
    check("a-{8..10}.tar", &["a-8.tar", "a-9.tar", "a-10.tar"]);
    check("b-{008..010}.tar", &["b-008.tar", "b-009.tar", "b-010.tar"]);
    check("{b-00,a-}{9,8}.tar", &["b-009.tar", "b-008.tar", "a-9.tar", "a-8.tar"]);
    check("a-9.tar", &["a-9.tar"]);
    check("a-{8..11}.tar", &["there is no shard ROOT/a-11.tar"]);
    check("a-{8,8}.tar", &["the shard ROOT/a-8.tar is named twice"]);
    for (pattern, reason) in [
        ("a-{8..10.tar", "a { without }"),
        ("a-8}.tar", "a } without {"),
        ("{a,{b,c}}", "braces must be closed, and not lie in other braces"),
        ("a-{9..8}.tar", "a range must not go down"),
        ("a-{8}.tar", "braces are {first..last} or {a,b}"),
        ("a-{x..y}.tar", "a range goes from a number to a number"),
        ("a-{0..99999999}.tar", "it names more than a million shards"),
        ("{0..9999}{0..9999}", "it names more than a million shards"),
        ("", "it is empty"),
    ] {
        check(pattern, &[&format!("the pattern {pattern} of shards is not usable: {reason}")]);
    }
}

#[test]
fn ilsvrcs_archives_give_the_images_of_the_folder_that_they_unpack_to() {
    let root = tempfile::tempdir().unwrap();
    let classes = [("n2", ["n2_1.JPEG", "n2_10.JPEG"]), ("n1", ["n1_9.JPEG", "n1_8.JPEG"])];
    let inner = |(class, images): (&str, [&str; 2])| {
        let entries = images.map(|image| file(image, format!("train/{class}/{image}").as_bytes()));
        file(&format!("{class}.tar"), &[entries.concat(), END.to_vec()].concat())
    };
    let val = ["val_2.JPEG", "val_1.JPEG"];
    fs::write(root.path().join("train.tar"), [classes.map(inner).concat(), END.to_vec()].concat()).unwrap();
    let entries = val.map(|image| file(image, format!("val/{image}").as_bytes()));
    fs::write(root.path().join("val.tar"), [entries.concat(), END.to_vec()].concat()).unwrap();
    fs::write(root.path().join("labels.txt"), "val_1 n2\nval_2 n1\n").unwrap();
    for (class, images) in classes {
        write_tree(
            root.path(),
            &images.map(|image| format!("train/{class}/{image}")).each_ref().map(|s| s.as_str()),
        );
    }
    write_tree(root.path(), &val.map(|image| format!("val/{image}")).each_ref().map(|s| s.as_str()));

    let labels = root.path().join("labels.txt");
    let (train, _) = FolderIndex::train(root.path(), &QUIET).unwrap();
    let (validation, _) = FolderIndex::validation(root.path(), Some(&labels), &train, &QUIET).unwrap();
    let paths = ["train.tar", "val.tar"].map(|name| root.path().join(name));
    for _ in ["built", "cached"] {
        let (packed, _) = ShardIndex::archive_of_classes(&paths[0], &QUIET).unwrap();
        let (packed_val, _) = ShardIndex::archive_with_labels(&paths[1], &labels, &packed, &QUIET).unwrap();
        for (split, index, path, packed) in [
            (Split::Train, &train, &paths[0], packed),
            (Split::Validation, &validation, &paths[1], packed_val),
        ] {
            let folder = ImageFolder::new(root.path(), split, index.clone());
            let archive = TarShards::new(vec![path.clone()], packed);
            assert_eq!((archive.len(), archive.class_names()), (folder.len(), folder.class_names()));
            let (mut one, mut other) = (Vec::new(), Vec::new());
            for image in 0..folder.len() {
                assert_eq!(archive.fetch(image, &mut one).unwrap(), folder.fetch(image, &mut other).unwrap());
                assert_eq!(one, other);
            }
        }
    }
    fs::write(&paths[0], [file("n1.tar", &file("n1_1.JPEG", b"x")), END.to_vec()].concat()).unwrap();
    assert_eq!(
        message(ShardIndex::archive_of_classes(&paths[0], &QUIET).unwrap_err(), root.path()),
        "ROOT/train.tar: the shard is cut: it ends at byte 1536 without the mark of a tar archive's end"
    );
}
