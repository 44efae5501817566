//! idx files are read plain or gzipped; errors for invalid ones name the file and what was found.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use regatta_data::{DatasetName, Encoding, ImageShape, Source, Split};

const SHAPE: ImageShape = ImageShape { channels: 1, height: 2, width: 3 };

fn idx(magic: u32, sizes: &[u32], body: &[u8]) -> Vec<u8> {
    let header = std::iter::once(&magic).chain(sizes).flat_map(|word| word.to_be_bytes());
    header.chain(body.iter().copied()).collect()
}

/// Four images of 2x3 whose pixels count up from 0.
fn images() -> Vec<u8> {
    idx(0x803, &[4, 2, 3], &(0..24).collect::<Vec<u8>>())
}

fn labels() -> Vec<u8> {
    idx(0x801, &[4], &[9, 0, 3, 3])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn open(folder: &Path) -> Result<Box<dyn Source>, String> {
    let opened = DatasetName::FashionMnist.facts().open(folder, Split::Train);
    opened.map_err(|error| error.to_string().replace(&folder.display().to_string(), "FOLDER"))
}

/// Opens a training split of the given files.
fn open_files(images: &[u8], labels: &[u8]) -> Result<Box<dyn Source>, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("train-images-idx3-ubyte"), images).unwrap();
    fs::write(folder.path().join("train-labels-idx1-ubyte"), labels).unwrap();
    open(folder.path())
}

#[test]
fn fashion_mnist_has_its_published_class_names() {
    let source = open_files(&images(), &labels()).unwrap();
    let names = source.class_names().unwrap();
    assert_eq!((names.len(), names[0].as_str(), names[9].as_str()), (10, "T-shirt/top", "Ankle boot"));
}

/// Returns the error message.
fn refused(opened: Result<Box<dyn Source>, String>) -> String {
    opened.err().expect("these files are not those of a data set")
}

fn check_content(source: &dyn Source) {
    assert!(source.name(2).starts_with("image 2 of ") && source.name(2).contains("images-idx3-ubyte"));
    assert_eq!((source.len(), source.encoding(), source.classes()), (4, Encoding::Pixels(SHAPE), 10));
    let mut stored = vec![77; 9];
    assert_eq!(source.fetch(2, &mut stored).unwrap(), 3);
    assert_eq!(stored, [12, 13, 14, 15, 16, 17]);
    assert_eq!(source.fetch(0, &mut stored).unwrap(), 9);
    assert_eq!(stored, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn plain_and_gzip_files_are_read_under_either_name() {
    for (suffix, images, labels) in [
        ("", images(), labels()),
        (".gz", gzip(&images()), gzip(&labels())),
        ("", gzip(&images()), gzip(&labels())),
        (".gz", images(), labels()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(format!("t10k-images-idx3-ubyte{suffix}")), images).unwrap();
        fs::write(folder.path().join(format!("t10k-labels-idx1-ubyte{suffix}")), labels).unwrap();
        let opened = DatasetName::Mnist.facts().open(folder.path(), Split::Validation);
        let source = opened.unwrap();
        check_content(&*source);
        assert_eq!(source.class_names(), None, "digits are numbers");
    }
}

#[test]
fn a_missing_folder_or_file_is_named_with_ways_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let remedies = "`make` fetches it into datasets/fashion-mnist of the checkout and the Debian package \
         dataset-fashion-mnist puts it under /usr/share/datasets/fashion-mnist, where it is found; any other folder \
         is named in data.folder or REGATTA__DATA__FOLDER";
    assert_eq!(
        refused(open(folder.path())),
        format!(
            "Fashion-MNIST not found: neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz is in FOLDER; \
             {remedies}"
        )
    );
    assert_eq!(
        refused(open(&folder.path().join("absent"))),
        format!("Fashion-MNIST not found: there is no folder FOLDER; {remedies}")
    );
    fs::write(folder.path().join("train-images-idx3-ubyte"), images()).unwrap();
    assert!(refused(open(folder.path())).contains("neither train-labels-idx1-ubyte nor"));
}

#[test]
fn wrong_content_is_refused_with_what_was_found() {
    let check = |images: &[u8], labels: &[u8], expected: &str| {
        assert_eq!(refused(open_files(images, labels)), expected);
    };
    let (good_images, good_labels) = (images(), labels());
    let images_path = "FOLDER/train-images-idx3-ubyte";
    let labels_path = "FOLDER/train-labels-idx1-ubyte";
    check(
        &good_labels,
        &good_labels,
        &format!("{images_path} is truncated: 16 bytes expected (uncompressed), 12 found"),
    );
    check(
        &idx(0x801, &[4, 2, 3], &[0; 24]),
        &good_labels,
        &format!(
            "{images_path} is not an idx file of images: it begins with 0x00000801 where 0x00000803 is expected"
        ),
    );
    check(
        &good_images,
        &good_images,
        &format!(
            "{labels_path} is not an idx file of labels: it begins with 0x00000803 where 0x00000801 is expected"
        ),
    );
    check(
        &good_images[..39],
        &good_labels,
        &format!("{images_path} is truncated: 40 bytes expected (uncompressed), 39 found"),
    );
    check(
        &[&good_images[..], &[0, 0]].concat(),
        &good_labels,
        &format!("{images_path} has 2 trailing bytes: 40 bytes expected (uncompressed), 42 found"),
    );
    check(
        &good_images,
        &idx(0x801, &[4], &[1, 10, 2, 11]),
        &format!("{labels_path}: label 10 of image 1 is out of range, 10 classes allow 0 to 9"),
    );
    check(
        &good_images,
        &idx(0x801, &[3], &[0; 3]),
        &format!(
            "images and labels differ in number: {images_path} has 4 images, {labels_path} has 3 labels"
        ),
    );
    check(
        &idx(0x803, &[4, 0, 3], &[]),
        &good_labels,
        &format!("{images_path} has no content: its header specifies the sizes [4, 0, 3]"),
    );
    check(
        b"",
        &good_labels,
        &format!("{images_path} is truncated: 16 bytes expected (uncompressed), 0 found"),
    );
}

#[test]
fn a_header_that_lies_about_its_size_is_a_truncated_file() {
    let message = refused(open_files(&idx(0x803, &[u32::MAX; 3], &[0; 24]), &labels()));
    assert_eq!(
        message,
        "FOLDER/train-images-idx3-ubyte is truncated: 18446744073709551615 bytes expected (uncompressed), 40 found"
    );
}

#[test]
fn damaged_gzip_files_are_refused() {
    let whole = gzip(&images());
    let cut = refused(open_files(&whole[..whole.len() - 12], &labels()));
    assert!(cut.starts_with("FOLDER/train-images-idx3-ubyte is truncated: "), "{cut}");

    let mut wrong_sum = whole;
    let crc = wrong_sum.len() - 8;
    wrong_sum[crc] ^= 1;
    let message = refused(open_files(&wrong_sum, &labels()));
    assert_eq!(message, "cannot read FOLDER/train-images-idx3-ubyte");
}

#[test]
fn a_pipe_in_place_of_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("train-images-idx3-ubyte");
    assert!(std::process::Command::new("mkfifo").arg(&images).status().unwrap().success());
    fs::write(folder.path().join("train-labels-idx1-ubyte"), labels()).unwrap();
    let opened = DatasetName::FashionMnist.facts().open(folder.path(), Split::Train);
    let error = opened.err().expect("a pipe is no file");
    assert_eq!(error.source().unwrap().to_string(), "not a regular file", "{error}");
}
