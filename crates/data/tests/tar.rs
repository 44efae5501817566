//! Tar shards: what is read from them and how images are numbered.

use std::fs;
use std::path::{Path, PathBuf};

use regatta_data::{DataError, Encoding, ShardIndex, Source, TarShards};

use crate::folder::QUIET;
use crate::tar_bytes::{END, entry, file, header, record, sample, seal};

/// Writes shards 0.tar, 1.tar and so on.
pub(crate) fn write(root: &Path, shards: &[Vec<u8>]) -> Vec<PathBuf> {
    let write = |(number, bytes): (usize, &Vec<u8>)| {
        let path = root.join(format!("{number}.tar"));
        fs::write(&path, bytes).unwrap();
        path
    };
    shards.iter().enumerate().map(write).collect()
}

pub(crate) fn index(shards: &[PathBuf]) -> Result<ShardIndex, DataError> {
    ShardIndex::train(shards, &QUIET).map(|(index, _)| index)
}

pub(crate) fn open(shards: Vec<PathBuf>) -> TarShards {
    let index = index(&shards).unwrap();
    TarShards::new(shards, index)
}

/// Returns content and label of every image.
fn contents(source: &dyn Source) -> Vec<(String, i64)> {
    let mut stored = vec![9; 5000];
    let mut fetch = |index| {
        let label = source.fetch(index, &mut stored).unwrap();
        (String::from_utf8(stored.clone()).unwrap(), label)
    };
    (0..source.len()).map(&mut fetch).collect()
}

fn expected(images: &[(&str, i64)]) -> Vec<(String, i64)> {
    images.iter().map(|&(content, label)| (content.to_owned(), label)).collect()
}

#[test]
fn samples_are_numbered_in_the_order_of_shards_and_members() {
    let root = tempfile::tempdir().unwrap();
    let first =
        [sample("n1/b", "4"), file("n1/b2.txt", b"text"), sample("n1/a", " 0\n"), END.to_vec()].concat();
    let second = [
        file("c.JSON", br#"{"x": [1], "label": 2}"#),
        file("c.PNG", b"png"),
        file("d.webp", b""),
        file("d.json", br#"{"cls": 1}"#),
        END.to_vec(),
    ]
    .concat();
    let source = open(write(root.path(), &[first, second]));
    assert_eq!((source.classes(), source.class_names(), source.encoding()), (5, None, Encoding::Compressed));
    assert_eq!(contents(&source), expected(&[("n1/b", 4), ("n1/a", 0), ("png", 2), ("", 1)]));
    assert_eq!(source.name(2), format!("{}: c.PNG", root.path().join("1.tar").display()));
    assert_eq!(source.index().images_of(1).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn decimal_keys_are_the_images_numbers_if_they_are_exactly_those_from_0() {
    let check = |keys: [&str; 4], order: [&str; 4]| {
        let root = tempfile::tempdir().unwrap();
        let shard = |keys: &[&str]| {
            [keys.iter().flat_map(|key| sample(key, "0")).collect::<Vec<u8>>(), END.to_vec()].concat()
        };
        let source = open(write(root.path(), &[shard(&keys[..2]), shard(&keys[2..])]));
        assert_eq!(contents(&source), expected(&order.map(|content| (content, 0))), "{keys:?}");
        let by_shard: Vec<_> = (0..2).flat_map(|shard| source.index().images_of(shard)).collect();
        let found: Vec<_> = by_shard.into_iter().map(|image| order[image]).collect();
        assert_eq!(found, keys);
        let shared = ShardIndex::from_bytes(&source.index().to_bytes()).unwrap();
        assert_eq!(&shared, source.index());
    };
    check(["02", "00", "03", "01"], ["00", "01", "02", "03"]);
    check(["0", "1", "2", "3"], ["0", "1", "2", "3"]);
    check(["2", "1", "4", "3"], ["2", "1", "4", "3"]);
    check(["2", "1", "0", "x3"], ["2", "1", "0", "x3"]);
    check(["2", "1", "0", "00"], ["2", "1", "0", "00"]);
}

#[test]
fn extended_headers_and_other_forms_are_understood() {
    let root = tempfile::tempdir().unwrap();
    let long = format!("{}/b", "d".repeat(150));
    let mut posix = file("f.jpg", b"7");
    posix[345..350].copy_from_slice(b"deep/");
    posix[349] = 0;
    seal(&mut posix[..512]);
    let mut old = file("g.jpg", b"8");
    old[257..265].fill(0);
    old[156] = 0;
    seal(&mut old[..512]);
    let binary = header(b'0', b"e.jpg", &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    let shard = [
        entry(b'g', b"pax_global_header", &record("comment", "no name")),
        entry(b'5', b"./", b""),
        entry(b'5', b"n1/", b""),
        sample("./a", "0"),
        entry(b'L', b"././@LongLink", format!("{long}.jpg\0").as_bytes()),
        file("cut", b"2"),
        entry(b'L', b"././@LongLink", format!("{long}.cls\0").as_bytes()),
        file("cut", b"1"),
        entry(
            b'x',
            b"PaxHeaders/c",
            &[record("mtime", "1.5"), record("path", "ä.b/c.jpg"), record("size", "3")].concat(),
        ),
        header(b'0', b"?", b"00000000000\0"),
        [&b"333"[..], &[0; 509]].concat(),
        entry(b'x', b"PaxHeaders/c", &record("path", "ä.b/c.cls")),
        file("?", b"2"),
        [binary, [&b"5"[..], &[0; 511]].concat()].concat(),
        file("e.cls", b"3"),
        posix,
        file("deep/f.cls", b"4"),
        old,
        file("g.cls", b"5"),
        file("._h.jpg", b"resource fork"),
        file("__meta__/x.jpg", b"meta"),
        file("README", b"no key"),
        file("stats.json", b"{}"),
        END.to_vec(),
    ];
    let source = open(write(root.path(), &[shard.concat()]));
    assert_eq!(
        contents(&source),
        expected(&[("./a", 0), ("2", 1), ("333", 2), ("5", 3), ("7", 4), ("8", 5)])
    );
    let member = |image| source.index().member(image).to_string_lossy().into_owned();
    assert_eq!([0, 2, 4].map(member), ["a.jpg", "ä.b/c.jpg", "deep/f.jpg"]);
    assert_eq!(member(1), format!("{long}.jpg"));
}
