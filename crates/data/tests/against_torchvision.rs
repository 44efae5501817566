//! Transforms give torchvision's results: colours to the byte, affine operations to at most 1 of 255, random geometry in
//! distribution, evaluation's geometry, CutMix's rectangle and pycls's lighting exactly. One Python computes all of them.

mod geometry;
mod pixels;

use std::path::Path;

use serde_json::{Value, json};
use test_jobs::run_script;

#[test]
fn transforms_agree_with_torchvision() {
    let folder = tempfile::tempdir().unwrap();
    let images = pixels::images();
    let pixel_cases = pixels::cases(&images);
    for (index, image) in images.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{index}.rgb")), &image.rgb).unwrap();
    }
    let cases = json!({
        "images": images.iter().map(|image| [image.size.width, image.size.height]).collect::<Vec<_>>(),
        "pixels": pixel_cases.iter().map(|case| &case.description).collect::<Vec<_>>(),
        "crops": geometry::crop_cases(),
        "erased": geometry::erased_cases(),
        "evaluation": geometry::evaluation_cases(),
        "lighting": geometry::LIGHTING_CASES,
        "cutmix": geometry::cutmix_cases(),
    });
    std::fs::write(folder.path().join("cases.json"), cases.to_string()).unwrap();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/against_torchvision/torchvision_cases.py");
    if let Err(reason) = run_script(&script, folder.path()) {
        println!("skipped: {reason}");
        return;
    }
    let transformed = std::fs::read(folder.path().join("transformed.rgb")).unwrap();
    pixels::compare(&images, &pixel_cases, &transformed);
    let results: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("results.json")).unwrap()).unwrap();
    geometry::compare_crops(&results["crops"]);
    geometry::compare_erased(&results["erased"]);
    geometry::compare_evaluation(&results["evaluation"]);
    geometry::compare_lighting(&results["lighting"]);
    geometry::compare_cutmix(&results["cutmix"]);
}
