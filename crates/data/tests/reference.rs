//! Folders are read as torchvision's `ImageFolder` reads them, and shards are exchanged with webdataset and tar.

use std::fs;
use std::path::{Path, PathBuf};

use regatta_data::{FolderIndex, ShardIndex, ShardWriter, Source, TarShards};
use serde_json::{Value, json};
use test_jobs::run_script;

use crate::folder::{QUIET, write_tree};

/// Names that sorting, extensions and hidden files make difficult.
const ODD: [&str; 22] = [
    "train/a/b/1.jpg",
    "train/a/b-c/1.jpg",
    "train/a/b.d/1.jpg",
    "train/a/1.jpg",
    "train/a/10.jpg",
    "train/a/2.jpg",
    "train/a/.hidden.png",
    "train/a/.jpg",
    "train/a/.folder/x.webp",
    "train/a/UPPER.JPG",
    "train/a/two.jpg.txt",
    "train/a/two.txt.jpeg",
    "train/a/old.bmp",
    "train/a/scan.tiff",
    "train/a/jpg",
    "train/a b/ü\u{1F600}.png",
    "train/a b/ü\u{fffd}.png",
    "train/.class/1.jpg",
    "train/Z/1.jpg",
    "train/ä/1.jpg",
    "train/10/1.jpg",
    "train/9/deep/er/1.jpg",
];

#[test]
fn folders_and_shards_are_those_of_torchvision_and_webdataset() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("odd");
    write_tree(&odd, &ODD);
    std::os::unix::fs::symlink("../ä", odd.join("train/Z/linked")).unwrap();
    std::os::unix::fs::symlink(odd.join("train/ä"), odd.join("train/Z/followed")).unwrap();
    std::os::unix::fs::symlink("nowhere", odd.join("train/Z/broken.jpg")).unwrap();
    let mut roots = vec![(odd, "train")];
    match std::env::var_os("REGATTA_TEST_IMAGENETTE") {
        Some(imagenette) => {
            roots.extend([(imagenette.clone().into(), "train"), (imagenette.into(), "val")]);
        }
        None => println!("skipped: imagenette, since REGATTA_TEST_IMAGENETTE is not set"),
    }
    let shards = write_shards(&folder.path().join("ours"));
    let folders: Vec<PathBuf> = roots.iter().map(|(root, split)| root.join(split)).collect();
    match run_reference(folder.path(), &json!({ "folders": folders, "shards": shards })) {
        Err(reason) => println!("skipped: {reason}"),
        Ok(results) => {
            for ((root, split), theirs) in roots.iter().zip(results["folders"].as_array().unwrap()) {
                assert_eq!(&ours(root, split), theirs, "{}", root.display());
            }
            for (shard, samples) in results["written"].as_object().unwrap() {
                check_shard(Path::new(shard), samples);
            }
            check_what_was_read(&results["read"]);
        }
    }
}

/// Computes the cases in Python. The error is the reason why it cannot; a script that fails fails the test.
fn run_reference(folder: &Path, cases: &Value) -> Result<Value, String> {
    fs::write(folder.join("cases.json"), cases.to_string()).unwrap();
    run_script(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference.py"), folder)?;
    Ok(serde_json::from_slice(&fs::read(folder.join("results.json")).unwrap()).unwrap())
}

fn ours(root: &Path, split: &str) -> Value {
    // The index of a split without a cache: that would lie beside the data.
    let copy = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root.join(split), copy.path().join("train")).unwrap();
    let (index, _) = FolderIndex::train(copy.path(), &QUIET).unwrap();
    let sample = |image| json!([index.path(image), index.label(image)]);
    json!({ "classes": index.classes(), "samples": (0..index.len()).map(sample).collect::<Vec<_>>() })
}

/// The content of one of our images.
fn image(number: u32) -> Vec<u8> {
    vec![number as u8; 700 + 111 * number as usize]
}

fn write_shards(folder: &Path) -> Vec<PathBuf> {
    let (mut writer, _) = ShardWriter::resume(folder, "train", 10_000).unwrap();
    (0..20).rev().for_each(|number| writer.append(number, "jpg", &image(number), number % 7).unwrap());
    writer.finish().unwrap()
}

fn check_what_was_read(read: &Value) {
    let expected = |number: u32| json!([format!("{number:09}"), hex(&image(number)), number % 7]);
    assert_eq!(read, &Value::from((0..20).rev().map(expected).collect::<Vec<_>>()));
}

/// Compares a shard with its samples: content and label by name.
fn check_shard(shard: &Path, samples: &Value) {
    let shards = vec![shard.to_owned()];
    let (index, _) = ShardIndex::train(&shards, &QUIET).unwrap();
    let source = TarShards::new(shards, index);
    let mut stored = Vec::new();
    let mut found = serde_json::Map::new();
    for image in 0..source.len() {
        let label = source.fetch(image, &mut stored).unwrap();
        let name = source.index().member(image).to_str().unwrap().to_owned();
        found.insert(name, json!([hex(&stored), label]));
    }
    let expected = samples.as_object().unwrap();
    assert_eq!(found.len(), expected.len(), "{}", shard.display());
    for (name, sample) in expected {
        assert_eq!(found.get(name), Some(sample), "{}: {name}", shard.display());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
