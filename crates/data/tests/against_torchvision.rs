//! Transforms give torchvision's results: colours to the byte, affine operations to at most 1 of 255, random geometry in
//! distribution, evaluation's geometry and pycls's lighting exactly. One Python computes all of them.

mod geometry;
mod pixels;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// Exit status of a script whose Python lacks the libraries.
const SKIPPED: i32 = 77;

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
    });
    std::fs::write(folder.path().join("cases.json"), cases.to_string()).unwrap();

    if let Err(reason) = run_torchvision(folder.path()) {
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
}

/// Computes the cases. The error is the reason why torchvision is not available; a script that fails fails the test.
fn run_torchvision(folder: &Path) -> Result<(), String> {
    let python = test_jobs::python()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/against_torchvision/torchvision_cases.py");
    let output = Command::new(&python).arg(script).arg(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{} does not start: {error}", python.display()));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.code() == Some(SKIPPED) {
        return Err(printed);
    }
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
