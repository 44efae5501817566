//! Models of torchvision and timm are right about the same images here and there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use test_jobs::{Workdir, run_script};

use super::{check_sums, evaluate, lines, report};

/// Sides of resize and crop.
const RESIZE_PX: u32 = 73;
const CROP_PX: u32 = 64;
/// Largest difference of probabilities.
const TOLERANCE: f64 = 1e-3;

/// The recipe of a model for images of ten classes.
fn recipe_of_model(model: &str, folder: &str) -> String {
    format!(
        "[model]\narch = \"{model}\"\nclasses = 10\n[data]\ndataset = \"image_folder\"\nfolder = \"{folder}\"\n\
         resolution_px = {CROP_PX}\nval_resize_px = {RESIZE_PX}\n[train]\nepochs = 1\nglobal_batch_size = 50\n\
         device = \"cpu\"\nthreads_per_rank = 1\n[optim]\nname = \"sgd\"\nlr = 0.1\n"
    )
}

/// The most probable class of each image by its path, its probability, and how much larger its logit is than the next.
fn best_of(results: &Value) -> BTreeMap<String, (String, f64, f64)> {
    let best = |logits: &Value| {
        let logits = logits.as_array().unwrap().iter().map(|logit| logit.as_f64().unwrap());
        let mut sorted: Vec<_> = logits.zip(results["classes"].as_array().unwrap()).collect();
        sorted.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let (largest, class) = sorted[0];
        let sum: f64 = sorted.iter().map(|(logit, _)| (logit - largest).exp()).sum();
        (class.as_str().unwrap().to_owned(), 1.0 / sum, largest - sorted[1].0)
    };
    let images = results["logits"].as_object().unwrap();
    images.iter().map(|(path, logits)| (path.clone(), best(logits))).collect()
}

#[test]
fn those_of_torchvision_and_timm_are_right_about_the_same_images() {
    let Ok(images) = std::env::var("REGATTA_TEST_IMAGENETTE") else {
        println!("skipped: REGATTA_TEST_IMAGENETTE is not set");
        return;
    };
    let models = [("torchvision", "regnet_x_400mf"), ("timm", "regnetx_004")];
    let workdir = Workdir::new("");
    let file = |name: String| workdir.path().join(name);
    let cases = json!({
        "images": format!("{images}/val"), "resize_px": RESIZE_PX, "crop_px": CROP_PX, "models": models,
    });
    fs::write(file("cases.json".into()), cases.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evaluate/models.py");
    if let Err(reason) = run_script(&script, workdir.path()) {
        return println!("skipped: {reason}");
    }
    for (library, model) in models {
        fs::write(file(format!("{model}.toml")), recipe_of_model(model, &images)).unwrap();
        let options =
            format!("--config {model}.toml --weights {model}.safetensors --predictions {model}.csv --json");
        let report = report(evaluate(&workdir, &options));
        check_sums(&report);
        let theirs = fs::read_to_string(file(format!("{model}.json"))).unwrap();
        let theirs = best_of(&serde_json::from_str(&theirs).unwrap());
        let ours = lines(&file(format!("{model}.csv")));
        assert_eq!(ours.len(), 1 + theirs.len());
        for line in &ours[1..] {
            let (class, probability, margin) = &theirs[&line[1]];
            let difference = (line[8].parse::<f64>().unwrap() - probability).abs();
            assert!(difference <= TOLERANCE, "{library}: {line:?}: probability {probability}");
            assert!(line[3] == *class || *margin < TOLERANCE, "{library}: {line:?}: {class}, by {margin}");
        }
        let right = ours[1..].iter().filter(|line| line[2] == theirs[&line[1]].0).count();
        let close = theirs.values().filter(|(_, _, margin)| *margin < TOLERANCE).count();
        let found = report["top1_images"].as_u64().unwrap() as usize;
        assert!(
            found.abs_diff(right) <= close && right > 100 && right < 250,
            "{library}: {found}, {right}, {close}"
        );
    }
}
