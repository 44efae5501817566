//! Validation images are those of torchvision: decoded, resized and cropped to the same bytes as on tensors, and within 2 of PIL's
//! where torchvision's own are.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use regatta_data::{
    DataError, Encoding, Evaluation, Filter, Images, Scratch, Source, Split, Transform, TransformSettings,
};
use serde_json::json;
use test_jobs::run_script;

/// Sides of resize and crop, filter, antialias.
const CASES: [(u32, u32, Filter, bool); 5] = [
    (256, 224, Filter::Bilinear, true),
    (232, 224, Filter::Bilinear, true),
    (128, 112, Filter::Bicubic, true),
    (256, 224, Filter::Bilinear, false),
    (256, 224, Filter::Bicubic, false),
];

/// Image files.
struct Files(Vec<PathBuf>);

impl Source for Files {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn classes(&self) -> usize {
        1
    }

    fn encoding(&self) -> Encoding {
        Encoding::Compressed
    }

    fn fetch(&self, index: usize, stored: &mut Vec<u8>) -> Result<i64, DataError> {
        *stored = fs::read(&self.0[index]).unwrap();
        Ok(0)
    }
}

/// Every photo, and some images of imagenette.
fn photos() -> Vec<PathBuf> {
    let list = |folder: PathBuf| {
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    };
    let mut photos = match std::env::var_os("REGATTA_TEST_PHOTOS") {
        Some(folder) => list(folder.into()),
        None => Vec::new(),
    };
    photos.retain(|file| {
        file.extension().is_some_and(|it| it.eq_ignore_ascii_case("jpg") || it.eq_ignore_ascii_case("jpeg"))
    });
    if photos.is_empty() {
        println!("skipped: photos, since REGATTA_TEST_PHOTOS is not set");
    }
    if let Some(folder) = std::env::var_os("REGATTA_TEST_IMAGENETTE") {
        photos.extend(
            list(PathBuf::from(folder).join("val"))
                .into_iter()
                .flat_map(|class| list(class).into_iter().take(3)),
        );
    }
    photos
}

#[test]
fn validation_images_are_torchvisions() {
    let folder = tempfile::tempdir().unwrap();
    let word = |filter| if filter == Filter::Bilinear { "bilinear" } else { "bicubic" };
    let cases: Vec<_> = CASES
        .iter()
        .map(|&(resize_px, crop_px, filter, antialias)| {
            json!({ "resize_px": resize_px, "crop_px": crop_px, "filter": word(filter), "antialias": antialias })
        })
        .collect();
    let text = json!({ "images": photos(), "cases": cases }).to_string();
    fs::write(folder.path().join("cases.json"), text).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evaluation.py");
    if let Err(reason) = run_script(&script, folder.path()) {
        println!("skipped: {reason}");
        return;
    }
    let results = fs::read(folder.path().join("results.json")).unwrap();
    let files: Vec<PathBuf> = serde_json::from_slice(&results).unwrap();
    for (number, case) in CASES.into_iter().enumerate() {
        compare(folder.path(), number, case, &files);
    }
}

fn compare(
    folder: &Path,
    number: usize,
    (resize_px, crop_px, filter, antialias): (u32, u32, Filter, bool),
    files: &[PathBuf],
) {
    let evaluation = Evaluation { resize_px, crop_px };
    let settings = TransformSettings { filter, antialias, evaluation, ..TransformSettings::default() };
    let transform = Transform::new(Encoding::Compressed, Split::Validation, settings);
    let images = Images::new(Arc::new(Files(files.to_vec())), Split::Validation, transform);
    let (mut ours, mut scratch, mut differing, mut all) =
        (vec![0; images.shape().bytes()], Scratch::default(), 0, 0);
    for (index, file) in files.iter().enumerate() {
        images.read((0, index), &mut scratch, &mut ours).unwrap();
        let tensor = fs::read(folder.join(format!("{number}-{index}.tensor"))).unwrap();
        let largest = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        let name =
            format!("{} to {resize_px} and {crop_px}, {filter:?}, antialias {antialias}", file.display());
        assert_eq!(ours.len(), tensor.len(), "{name}");
        assert!(largest(&ours, &tensor) <= 1, "{name}: differs by {}", largest(&ours, &tensor));
        differing += ours.iter().zip(&tensor).filter(|(ours, theirs)| ours != theirs).count();
        all += ours.len();
        if let Ok(pil) = fs::read(folder.join(format!("{number}-{index}.pil"))) {
            let limit = largest(&tensor, &pil).max(2);
            assert!(largest(&ours, &pil) <= limit, "{name}: differs from PIL by {}", largest(&ours, &pil));
        }
    }
    println!(
        "{resize_px} to {crop_px}, {filter:?}, antialias {antialias}: {differing} of {all} bytes differ by 1"
    );
    assert!(differing * 1000 <= all, "{differing} of {all} bytes differ");
}
