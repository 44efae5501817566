//! Image files of unusual kinds load as torchvision loads them; files that are no images are refused by name.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use regatta_data::{
    FolderIndex, ImageFolder, Images, RandomResizedCrop, Scratch, Source, Split, Transform, TransformSettings,
};
use regatta_image::{Size, encode_jpeg, encode_png};

use crate::folder::{QUIET, message};

/// Exit status of the script if its Python lacks the libraries.
const SKIPPED: i32 = 77;

const SIZE: Size = Size { width: 64, height: 48 };

/// The images of `root`/val, as validation or training images.
fn open(root: &Path, split: Split) -> (Images, Vec<String>) {
    if !root.join("train").exists() {
        std::os::unix::fs::symlink("val", root.join("train")).unwrap();
    }
    let (index, _) = FolderIndex::train(root, &QUIET).unwrap();
    let source = ImageFolder::new(root, Split::Validation, index);
    let names = (0..source.len()).map(|image| source.name(image)).collect();
    let settings = TransformSettings {
        random_resized_crop: (split == Split::Train).then(RandomResizedCrop::default),
        ..TransformSettings::default()
    };
    let transform = Transform::new(source.encoding(), split, settings);
    (Images::new(Arc::new(source), split, transform), names)
}

#[test]
fn unusual_images_load_as_torchvision_loads_them() {
    let root = tempfile::tempdir().unwrap();
    if let Err(reason) = write_images(root.path()) {
        println!("skipped: {reason}");
        return;
    }
    let (evaluated, names) = open(root.path(), Split::Validation);
    let (trained, _) = open(root.path(), Split::Train);
    assert_eq!(names.len(), 13);
    let mut scratch = Scratch::default();
    let mut pixels = vec![0; evaluated.shape().bytes()];
    let mut failures = String::new();
    for (image, name) in names.iter().enumerate() {
        for epoch in 0..20 {
            trained.read((epoch, image), &mut scratch, &mut pixels).unwrap();
        }
        evaluated.read((0, image), &mut scratch, &mut pixels).unwrap();
        let name = Path::new(name).file_name().unwrap().to_str().unwrap();
        let theirs = fs::read(root.path().join(format!("{name}.rgb"))).unwrap();
        assert_eq!(theirs.len(), pixels.len(), "{name}");
        let largest = pixels.iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        if largest > 1 {
            failures += &format!("{name}: differs by up to {largest}\n");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// Writes the images in Python. The error is the reason why it cannot; a script that fails fails the test.
fn write_images(root: &Path) -> Result<(), String> {
    let python = test_jobs::python()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/image_files.py");
    let output = Command::new(&python).arg(script).arg(root).output();
    let output = output.unwrap_or_else(|error| panic!("{} does not start: {error}", python.display()));
    if output.status.code() == Some(SKIPPED) {
        return Err(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Where a marker of a JPEG begins.
fn marker(jpeg: &[u8], marker: u8) -> usize {
    jpeg.windows(2).position(|bytes| bytes == [0xff, marker]).unwrap()
}

/// A JPEG whose header has another size.
fn jpeg_of_size(jpeg: &[u8], side: u16) -> Vec<u8> {
    let (mut jpeg, frame) = (jpeg.to_vec(), marker(jpeg, 0xc0));
    jpeg[frame + 5..frame + 7].copy_from_slice(&side.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&side.to_be_bytes());
    jpeg
}

/// A PNG whose header has another size, with a right checksum.
fn png_of_size(png: &[u8], side: u32) -> Vec<u8> {
    let mut png = png.to_vec();
    png[16..20].copy_from_slice(&side.to_be_bytes());
    png[20..24].copy_from_slice(&side.to_be_bytes());
    let mut checksum = flate2::Crc::new();
    checksum.update(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.sum().to_be_bytes());
    png
}

/// A JPEG with codes of ones alone, which no table has, from the middle of its data.
fn with_bad_codes(jpeg: &[u8]) -> Vec<u8> {
    let middle = usize::midpoint(marker(jpeg, 0xda), jpeg.len());
    let codes = [0xff, 0].repeat((jpeg.len() - middle) / 2);
    [&jpeg[..middle], &[0], &codes, &[0xff, 0xd9]].concat()
}

#[test]
fn what_is_no_image_is_refused_by_name() {
    let noise: Vec<u8> =
        (0..64 * 48 * 3_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (jpeg, png) = (encode_jpeg(&noise, SIZE, 90).unwrap(), encode_png(&noise, SIZE).unwrap());
    let check = |name: &str, content: &[u8], expected: &str| {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("val/class");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), content).unwrap();
        for (split, word) in [(Split::Validation, "validation"), (Split::Train, "training")] {
            let (images, _) = open(root.path(), split);
            let mut pixels = vec![0; images.shape().bytes()];
            let refused = images.read((0, 0), &mut Scratch::default(), &mut pixels).unwrap_err();
            let named = format!("cannot read {word} image 0, ROOT/val/class/{name}: {expected}");
            assert_eq!(message(refused, root.path()), named);
        }
    };
    check("cut.jpg", &jpeg[..marker(&jpeg, 0xda) + 20], "JPEG file ends before the image does");
    check("header.jpg", &jpeg[..40], "JPEG file ends before the image does");
    check("cut.png", &png[..60], "PNG file ends before the image does");
    check("empty.jpg", b"", "the file is empty");
    check("0x0.jpg", &jpeg_of_size(&jpeg, 0), "image of 0x0 has no pixels");
    check("0x0.png", &png_of_size(&png, 0), "image of 0x0 has no pixels");
    let too_large = "image of 65500x65500 has more than 178956970 pixels";
    check("large.jpg", &jpeg_of_size(&jpeg, 65_500), too_large);
    check("large.png", &png_of_size(&png, 65_500), too_large);
    check(
        "text.jpg",
        b"404: Not Found\n",
        "expected JPEG, PNG or WebP, found text that begins with \"404: Not Found\\n\"",
    );
    check("codes.jpg", &with_bad_codes(&jpeg), "damaged JPEG file: Corrupt JPEG data: bad Huffman code");
}
