//! ONNX models give the same logits in onnxruntime as networks here.

use std::path::Path;

use regatta_anynet::Network;
use regatta_model::Mode;
use regatta_onnx::Options;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use test_jobs::run_script;

use super::networks::{FOUR_STAGES, REGNETX32, recipe, replica};
use super::reference::Tensors;
use crate::replica::Replica;
use crate::{export, tensor_file};

/// Largest difference between logits, whose standard deviation is 1.
const TOLERANCE: f64 = 1e-4;

const IMAGES: i64 = 3;

/// A recipe with this `[model]`.
fn small(model: &str) -> String {
    let (_, rest) = FOUR_STAGES.split_once("[data]").unwrap();
    format!("[model]\n{model}\n[data]{rest}").replace("resolution_px = 64", "resolution_px = 30")
}

/// Networks of every block and every stem, with their names.
fn networks() -> Vec<(&'static str, String)> {
    let any = |block: &str, stem: &str, stages: &str| {
        small(&format!("stem = \"{stem}\"\n[model.anynet]\nblock = \"{block}\"\nstages = [{stages}]"))
    };
    let plain = "{ depth = 2, width = 16 }, { depth = 1, width = 24 }";
    let squeezed = "{ depth = 2, width = 16, group_width = 8, se_ratio = 0.25 }, { depth = 1, width = 24, group_width = 8 }";
    vec![
        ("x", small("arch = \"regnetx_200mf\"")),
        ("y", small("arch = \"regnety_200mf\"")),
        ("bottlenecks", FOUR_STAGES.to_owned()),
        ("biases", REGNETX32.to_owned()),
        ("squeezed", any("resnext", "resnet", squeezed)),
        ("basic", any("resnet_basic", "cifar", plain)),
        ("vanilla", any("vanilla", "simple", plain)),
        ("mlp", any("mlp", "flatten", "{ depth = 2, width = 16, stride = 1 }")),
    ]
}

/// A network with random parameters and statistics, whose classifier is scaled for logits of standard deviation 1; images, and
/// their logits.
fn computed(text: &str) -> (Replica, Tensor, Tensor) {
    let recipe = recipe(text, &["train.precision=fp32".to_owned()]);
    let mut replica = replica(&recipe);
    let side = i64::from(recipe.data.val_resolution_px);
    let images =
        Tensor::randn([IMAGES, replica.network().in_channels, side, side], (Kind::Float, Device::Cpu));
    let logits = |replica: &Replica| {
        tch::no_grad(|| replica.logits(&replica.model, &images, Mode::Evaluation).unwrap())
    };
    let scale = 1.0 / logits(&replica).std(true).double_value(&[]);
    let parameters = replica.specs.iter().zip(&mut replica.parameters.views);
    for (_, view) in parameters.filter(|(spec, _)| spec.name.starts_with("head.fc")) {
        tch::no_grad(|| _ = view.g_mul_scalar_(scale));
    }
    let logits = logits(&replica);
    (replica, images, logits)
}

/// The tensors as in a checkpoint.
fn tensors(replica: &Replica) -> Tensors {
    let views = replica.parameters.views.iter().chain(&replica.running.views);
    let names = replica.network().tensors().into_iter().map(|(name, _)| name);
    names.zip(views.map(Tensor::shallow_clone)).collect()
}

/// Writes the model for a fixed or free number of images, and the images; returns the entry in the list of cases.
fn write(
    folder: &Path,
    file: &str,
    network: &Network,
    tensors: &Tensors,
    (batch, images): (Option<u32>, &Tensor),
) -> Value {
    let side = images.size()[2] as u32;
    let options = Options {
        batch,
        height_px: side,
        width_px: side,
        producer_version: "test".to_owned(),
        metadata: vec![("key".to_owned(), "value".to_owned())],
    };
    std::fs::write(folder.join(file), export::onnx::model(network, tensors, &options).unwrap()).unwrap();
    let input = folder.join(format!("{file}.in.safetensors"));
    tensor_file::write(&input, [("images".to_owned(), images)].into_iter()).unwrap();
    json!({ "file": file, "batch": batch })
}

/// Python takes a second to load onnx and onnxruntime, so one test has all cases.
#[test]
fn models_give_the_same_logits_in_onnxruntime() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (mut cases, mut expected) = (Vec::new(), Vec::new());
    for (name, text) in networks() {
        let (replica, images, logits) = computed(&text);
        let (network, tensors) = (replica.network(), tensors(&replica));
        for batch in [None, Some(1), Some(IMAGES as u32)] {
            let file =
                format!("{name}-{}.onnx", batch.map_or("free".to_owned(), |images| images.to_string()));
            let count = batch.map_or(IMAGES, i64::from);
            cases.push(write(folder, &file, network, &tensors, (batch, &images.narrow(0, 0, count))));
            expected.push((file, logits.narrow(0, 0, count)));
        }
    }
    std::fs::write(folder.join("cases.json"), Value::from(cases).to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/run_onnx.py");
    if let Err(reason) = run_script(&script, folder) {
        return println!("skipped: {reason}");
    }
    for (file, logits) in expected {
        let found = tensor_file::read_all(&folder.join(format!("{file}.out.safetensors"))).unwrap();
        for (name, found) in found {
            let expected = if name == "first" { logits.narrow(0, 0, 1) } else { logits.shallow_clone() };
            assert_eq!(found.size(), expected.size(), "{file}: {name}");
            let difference = (&found - &expected).abs().max().double_value(&[]);
            assert!(difference <= TOLERANCE, "{file}: {name} differs by {difference:e}");
        }
    }
}
