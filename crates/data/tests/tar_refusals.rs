//! Hostile and damaged tar shards are refused with shard and member.

use std::fs;

use proptest::prelude::*;
use regatta_data::{FolderIndex, ShardIndex, Source, TarShards};

use crate::folder::{QUIET, message};
use crate::tar::{index, write};
use crate::tar_bytes::{END, entry, file, header, record, sample, seal};

/// Returns the message for one shard with this content.
fn refusal(shard: &[u8]) -> String {
    let root = tempfile::tempdir().unwrap();
    let shards = write(root.path(), &[shard.to_owned()]);
    message(index(&shards).unwrap_err(), root.path())
}

#[test]
fn shards_without_images_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let shards = write(root.path(), &[END.to_vec(), END.to_vec()]);
    let said = |shards| message(index(shards).unwrap_err(), root.path());
    assert_eq!(said(&shards[..1]), "there is no image in ROOT/0.tar");
    assert_eq!(said(&shards), "there is no image in the 2 shards from ROOT/0.tar on");
    let error = ShardIndex::archive_of_classes(&shards[0], &QUIET).unwrap_err();
    let expected =
        "ROOT/0.tar: it holds no archive CLASS.tar, as ILSVRC2012_img_train.tar has one for each class";
    assert_eq!(message(error, root.path()), expected);
}

#[test]
fn hostile_shards_are_refused_with_shard_and_member() {
    let check = |parts: &[Vec<u8>], expected: &str| {
        assert_eq!(refusal(&parts.concat()), format!("ROOT/0.tar: {expected}"));
    };
    let (good, end) = (sample("a", "1"), END.to_vec());
    check(&[], "the shard is empty (0 bytes)");
    check(
        std::slice::from_ref(&good),
        "the shard is cut: it ends at byte 2048 without the mark of a tar archive's end",
    );
    check(
        &[good[..1700].to_vec()],
        "the shard is cut: it ends at byte 1700 without the mark of a tar archive's end",
    );
    check(
        &[good[..515].to_vec()],
        "the shard is cut: it ends at byte 515 without the mark of a tar archive's end",
    );
    check(&[good[..512].to_vec()], "a.jpg: the shard is cut in this member, which ends at byte 513 of 512");
    check(
        &[good.clone(), vec![0; 512], good.clone()],
        "the shard goes on at byte 2560 after the mark of its end; archives must not be joined with cat",
    );
    check(
        &[b"\x1f\x8b\x08".to_vec(), vec![b'x'; 2045]],
        "the shard is compressed; unpack it with gunzip, since images are read at their places in it",
    );
    check(&[vec![b'x'; 2048]], "no tar header at byte 0: the checksum is wrong");
    check(&[good.clone(), vec![7; 512], end.clone()], "no tar header at byte 2048: the checksum is wrong");
    let outside = "the name leaves the shard: absolute names and .. are not accepted";
    for name in ["../a.jpg", "/etc/a.jpg", "b/../../a.jpg"] {
        check(&[file(name, b"x"), end.clone()], &format!("{name}: {outside}"));
    }
    check(&[entry(b'5', b"../up/", b""), end.clone()], &format!("../up/: {outside}"));
    let pax = entry(b'x', b"PaxHeaders/a", &record("path", "../a.jpg"));
    check(&[pax, file("a.jpg", b"x"), end.clone()], &format!("../a.jpg: {outside}"));
    for (kind, what) in [
        (b'1', "a hard link"),
        (b'2', "a symbolic link"),
        (b'3', "a device"),
        (b'4', "a device"),
        (b'6', "a pipe"),
        (b'S', "a file with holes"),
        (b'M', "an entry of unknown kind"),
    ] {
        check(
            &[entry(kind, b"a.jpg", b""), end.clone()],
            &format!("a.jpg: {what} is not accepted in a shard, only files and folders"),
        );
    }
    let sparse = entry(b'x', b"PaxHeaders/a", &record("GNU.sparse.major", "1"));
    check(
        &[sparse, file("a.jpg", b"x"), end.clone()],
        "a.jpg: a file with holes is not accepted in a shard, only files and folders",
    );
    check(
        &[good.clone(), sample("b", "2"), good.clone(), end.clone()],
        "a: the key occurs twice; the members of a sample must follow each other",
    );
    check(
        &[file("a.jpg", b"x"), good.clone(), end.clone()],
        "a.jpg: the key occurs twice; the members of a sample must follow each other",
    );
    check(&[file("a.png", b"x"), good.clone(), end.clone()], "a: the sample has a second image, jpg");
    let no_label = "the sample has no label: neither .cls nor .json with an integer label or cls";
    check(&[file("a.jpg", b"x"), end.clone()], &format!("a: {no_label}"));
    check(&[file("a.jpg", b"x"), file("a.json", b"{}"), end.clone()], &format!("a.json: {no_label}"));
    check(
        &[file("a.cls", b"1"), end.clone()],
        "a: the sample has a label and no image (.jpg, .jpeg, .png, .webp)",
    );
    for (label, shown) in [
        ("", r#""""#),
        ("-1", r#""-1""#),
        ("1.0", r#""1.0""#),
        ("cat", r#""cat""#),
        ("1000000", r#""1000000""#),
        ("99999999999999999999", r#""99999999999999999999""#),
    ] {
        check(
            &[sample("a", label), end.clone()],
            &format!("a.cls: the label {shown} is not an integer from 0 to 999999"),
        );
    }
    for (label, shown) in [
        (r#"{"label": -1}"#, r#""-1""#),
        (r#"{"label": "1"}"#, r#""\"1\"""#),
        (r#"{"cls": 1.5}"#, r#""1.5""#),
        ("{", r#""{""#),
    ] {
        check(
            &[file("a.jpg", b"x"), file("a.json", label.as_bytes()), end.clone()],
            &format!("a.json: the label {shown} is not an integer from 0 to 999999"),
        );
    }
    check(&[file("a.cls", &[b'1'; 65]), end.clone()], "a.cls: 65 bytes, where 64 are accepted");
}

#[test]
fn sizes_that_no_shard_can_have_are_refused() {
    let check = |size: &[u8; 12], expected: &str| {
        let shard = [header(b'0', b"a.jpg", size), END.to_vec()].concat();
        assert_eq!(refusal(&shard), format!("ROOT/0.tar: {expected}"));
    };
    check(b"77777777777\0", "a.jpg: the shard is cut in this member, which ends at byte 8589935103 of 1536");
    check(b"-0000000001\0", "the tar header at byte 0 has no valid size");
    check(b"00000000009\0", "the tar header at byte 0 has no valid size");
    check(&[0; 12], "the tar header at byte 0 has no valid size");
    check(&[0xff; 12], "the tar header at byte 0 has no valid size");
    check(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], "the tar header at byte 0 has no valid size");
    check(
        &[0x80, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255],
        "a.jpg: the shard is cut in this member, which ends at byte 18446744073709551615 of 1536",
    );
    let invalid = "ROOT/0.tar: the extended tar header at byte 0 is invalid or larger than 1 MiB";
    for records in [&b"5"[..], b"99 path=a\n", b"8 path=a", b"x path=a\n", b"11 size=-1\n\n", b"0 \n"] {
        assert_eq!(
            refusal(&[entry(b'x', b"p", records), file("a.jpg", b""), END.to_vec()].concat()),
            invalid
        );
    }
    let global = entry(b'g', b"p", &record("path", "a.jpg"));
    assert_eq!(refusal(&[global, file("b.jpg", b""), END.to_vec()].concat()), invalid);
    let huge = entry(b'L', b"p", &vec![b'a'; (1 << 20) + 1]);
    assert_eq!(refusal(&[huge, file("b.jpg", b""), END.to_vec()].concat()), invalid);
}

#[test]
fn an_image_of_more_than_half_a_gibibyte_is_refused_unread() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("0.tar");
    fs::write(&path, header(b'0', b"a.jpg", b"10000000000\0")).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len((1 << 30) + 2048).unwrap();
    assert_eq!(
        message(index(&[path]).unwrap_err(), root.path()),
        "ROOT/0.tar: a.jpg: 1073741824 bytes, where 536870912 are accepted"
    );
}

#[test]
fn an_index_in_bytes_that_leaves_its_shards_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let index = index(&write(root.path(), &[[sample("a", "2"), END.to_vec()].concat()])).unwrap();
    let bytes = index.to_bytes();
    for length in 0..bytes.len() {
        assert!(ShardIndex::from_bytes(&bytes[..length]).is_err(), "cut at {length}");
    }
    let place = bytes.windows(8).position(|window| window == 512_u64.to_le_bytes()).unwrap();
    let mut outside = bytes;
    outside[place..place + 8].copy_from_slice(&1_000_000_u64.to_le_bytes());
    assert!(ShardIndex::from_bytes(&outside).is_err());
}

#[test]
fn a_shard_that_changed_after_its_index_was_built_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let shards = write(root.path(), &[[sample("a", "2"), END.to_vec()].concat()]);
    let source = TarShards::new(shards.clone(), index(&shards).unwrap());
    fs::write(&shards[0], [0; 512]).unwrap();
    assert_eq!(
        message(source.fetch(0, &mut Vec::new()).unwrap_err(), root.path()),
        "ROOT/0.tar: the shard has changed since its index was built: 512 bytes instead of 3072"
    );
}

/// Replaces bytes at some places.
fn mutated(bytes: &[u8], changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let (mut bytes, length) = (bytes.to_vec(), bytes.len());
    changes.iter().for_each(|(place, byte)| bytes[place.index(length)] = *byte);
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4)
}

/// A shard of all kinds of entries.
fn mixed_shard() -> Vec<u8> {
    let pax = entry(b'x', b"PaxHeaders/c", &[record("path", "c.jpg"), record("size", "3")].concat());
    let long = entry(b'L', b"././@LongLink", b"d.jpg\0");
    let json = file("d.json", br#"{"label": 2}"#);
    let parts = [sample("a", "0"), pax, file("x", b"333"), file("c.cls", b"1"), long, file("x", b"4"), json];
    [parts.concat(), END.to_vec()].concat()
}

proptest! {
    #[test]
    fn any_damage_to_a_shard_is_an_error_or_leaves_images_within_it(changes in changes(), cut: prop::sample::Index) {
        let root = tempfile::tempdir().unwrap();
        let whole = mixed_shard();
        // A header's checksum finds most changes; those that it cannot find come from a cut.
        for shard in [mutated(&whole, &changes), whole[..cut.index(whole.len())].to_vec()] {
            let shards = write(root.path(), &[shard]);
            if let Ok(index) = index(&shards) {
                let source = TarShards::new(shards, index);
                for image in 0..source.len() {
                    source.fetch(image, &mut Vec::new()).unwrap();
                }
            }
        }
    }

    #[test]
    fn headers_with_right_checksums_and_any_other_bytes_are_an_error_or_images(changes in changes(), at in 0_usize..14) {
        let root = tempfile::tempdir().unwrap();
        let mut shard = mixed_shard();
        let block = &mut shard[at * 512..][..512];
        let changed = mutated(block, &changes);
        block.copy_from_slice(&changed);
        seal(block);
        let shards = write(root.path(), &[shard]);
        if let Ok(index) = index(&shards) {
            let source = TarShards::new(shards, index);
            (0..source.len()).for_each(|image| _ = source.fetch(image, &mut Vec::new()).unwrap());
        }
    }

    #[test]
    fn any_damage_to_an_index_in_bytes_is_an_error_or_leaves_images_within_the_shards(changes in changes()) {
        let root = tempfile::tempdir().unwrap();
        let shards = write(root.path(), &[mixed_shard()]);
        let bytes = index(&shards).unwrap().to_bytes();
        let damaged = mutated(&bytes, &changes);
        _ = FolderIndex::from_bytes(&damaged);
        if let Ok(index) = ShardIndex::from_bytes(&damaged) && index.shards() == 1 {
            let source = TarShards::new(shards, index);
            for image in 0..source.len() {
                _ = (source.fetch(image, &mut Vec::new()), source.name(image));
            }
        }
    }
}
