//! The targets of files of pixels: idx and CIFAR.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use regatta_data::{DataError, DatasetName, Source, Split};

use super::Target;

pub(super) const IDX: Target = Target {
    name: "idx",
    dictionary: &[&[0, 0, 8, 1], &[0, 0, 8, 3], &[0, 0, 0, 3], &[0x1f, 0x8b, 8, 0], &[0, 0, 9, 3]],
    repair: |_| (),
    mutations: 8000,
    read: |input, _| {
        // The input once as images with whole labels, once as labels with whole images.
        let outcomes = [("images", "labels", &LABELS[..]), ("labels", "images", &IMAGES[..])];
        let outcomes = outcomes.map(|(role, other, content)| {
            let folder = input.with_file_name(role);
            if !folder.exists() {
                fs::create_dir(&folder).unwrap();
                symlink(input, folder.join(file(role))).unwrap();
                fs::write(folder.join(file(other)), content).unwrap();
            }
            read(DatasetName::Mnist, &folder)
        });
        outcomes.join(" | ")
    },
};

const IMAGES: [u8; 19] = [0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 7, 8, 9];
const LABELS: [u8; 11] = [0, 0, 8, 1, 0, 0, 0, 3, 0, 1, 2];

fn file(role: &str) -> &'static str {
    if role == "images" { "t10k-images-idx3-ubyte" } else { "t10k-labels-idx1-ubyte" }
}

pub(super) const CIFAR: Target = Target {
    name: "cifar",
    dictionary: &[&[9], &[10], &[99], &[100], &[0x1f, 0x8b, 8, 0]],
    repair: |_| (),
    mutations: 4000,
    read: |input, _| {
        let folder = input.with_file_name("sets");
        if !folder.exists() {
            fs::create_dir(&folder).unwrap();
            symlink(input, folder.join("test_batch.bin")).unwrap();
            symlink(input, folder.join("test.bin")).unwrap();
        }
        [DatasetName::Cifar10, DatasetName::Cifar100].map(|name| read(name, &folder)).join(" | ")
    },
};

/// Opens the validation split and fetches every image.
fn read(name: DatasetName, folder: &Path) -> String {
    match name.facts().open(folder, Split::Validation) {
        Ok(source) => format!("{} images", fetch_all(&*source, &mut Vec::new()).unwrap()),
        Err(error) => describe(&error),
    }
}

/// Fetches all images, and checks what a source promises of them.
pub(super) fn fetch_all(source: &dyn Source, stored: &mut Vec<u8>) -> Result<usize, DataError> {
    for index in 0..source.len() {
        let label = source.fetch(index, stored)?;
        assert!(
            (0..source.classes() as i64).contains(&label),
            "label {label} of {} classes",
            source.classes()
        );
        assert!(!source.name(index).is_empty());
    }
    Ok(source.len())
}

/// The error with its causes.
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
