//! Fine-tuning: frozen stages, a new classifier and its own learning rate.

use std::collections::BTreeMap;

use test_jobs::{Workdir, newest_step, tensors_f64, tiny_with};

use crate::resume::check_equal;

/// On seven classes, with the stem and the first of two stages frozen and a checkpoint after every step.
const FINE_TUNING: &str = "data.synthetic_classes=7 model.pretrained=ten.safetensors model.frozen_stages=1 \
                           optim.head_lr=0.5 train.ema_decay=0.5 checkpoint.interval_steps=1 checkpoint.keep=10";
/// Learning rate of the recipe, at a constant schedule.
const LR: f64 = 0.05;
const HEAD_LR: f64 = 0.5;

/// A folder with the float64 weights of a run on ten classes in `ten.safetensors`.
fn workdir() -> Workdir {
    let workdir = Workdir::new(&tiny_with("\"fp32\"", "\"fp64\""));
    workdir.train("--name ten train.max_steps=2").ends_with(0);
    workdir.trainer(&["export", "--checkpoint", "runs/ten", "--out", "ten.safetensors"]).ends_with(0);
    workdir
}

/// The tensors of a file of the checkpoint after `step`.
fn tensors(workdir: &Workdir, run: &str, step: u64, file: &str) -> BTreeMap<String, Vec<f64>> {
    tensors_f64(&workdir.run(run).checkpoint(step).join(format!("{file}.safetensors")))
}

fn is_frozen(name: &str) -> bool {
    name.contains("stem.") || name.contains("s1.")
}

#[test]
fn frozen_stages_keep_every_bit_and_the_classifier_takes_its_own_steps() {
    let workdir = workdir();
    let frozen = "frozen: 2224 parameters of the stem and 1 stage keep their values";
    workdir.train(&format!("--name seven {FINE_TUNING}")).ends_with(0).says(frozen);
    let ten = tensors(&workdir, "ten", 2, "model");
    for (step, file) in [(1, "model"), (1, "ema"), (6, "model"), (6, "ema")] {
        let seven = tensors(&workdir, "seven", step, file);
        assert!(ten.keys().eq(seven.keys()));
        for (name, values) in ten.iter().filter(|(name, _)| !name.starts_with("head.")) {
            assert_eq!(*values == seven[name], is_frozen(name), "{file} after step {step}: {name}");
        }
    }
    check_first_update(&ten, &workdir);

    workdir.train(&format!("--name parts {FINE_TUNING} train.max_steps=2")).ends_with(0);
    workdir.train(&format!("--name parts --resume auto {FINE_TUNING}")).ends_with(0);
    check_equal(&workdir, "seven", "parts");
}

/// Checks that the first update is minus the learning rate times the momentum, which then is the gradient.
fn check_first_update(before: &BTreeMap<String, Vec<f64>>, workdir: &Workdir) {
    let after = tensors(workdir, "seven", 1, "model");
    let momenta = tensors(workdir, "seven", 1, "optimizer");
    assert!(!momenta.keys().any(|name| is_frozen(name)), "frozen parameters have no state");
    let of_stage = momenta.keys().filter(|name| name.contains(".s2.")).count();
    assert_eq!(momenta.len(), of_stage + 2, "all of the second stage, and the classifier");
    for (name, momentum) in &momenta {
        let name = name.strip_prefix("momentum.").unwrap();
        let (before, lr) = match name {
            "head.fc.weight" => continue, // random before
            "head.fc.bias" => (&vec![0.0; 7], HEAD_LR),
            _ => (&before[name], LR),
        };
        assert!(momentum.iter().any(|value| value.abs() > 1e-6), "{name} has a gradient");
        for ((before, after), momentum) in before.iter().zip(&after[name]).zip(momentum) {
            let expected = before - lr * momentum;
            assert!((after - expected).abs() < 1e-14, "{name}: {after} for {expected}");
        }
    }
}

#[test]
fn a_classifier_that_fits_is_initialised_anew_on_request() {
    let workdir = workdir();
    // The learning rate is too small to change a weight, so the checkpoint shows the initial weights.
    let options = "model.pretrained=ten.safetensors optim.lr=1e-30 train.max_steps=1";
    workdir.train(&format!("--name kept {options}")).ends_with(0);
    workdir.train(&format!("--name new {options} model.new_classifier=true")).ends_with(0).says(
        "the classifier keeps its random initialization, since model.new_classifier = true: fc.weight, fc.bias not loaded",
    );
    let classifier = |run: &str| {
        let tensors = tensors(&workdir, run, newest_step(&workdir.run(run)), "model");
        ["head.fc.weight", "head.fc.bias", "s2.b1.f.a.weight"].map(|name| tensors[name].clone())
    };
    let [ten, kept, new] = ["ten", "kept", "new"].map(classifier);
    assert!(kept == ten && new[0] != ten[0] && new[2] == ten[2]);
    assert!(new[1].iter().all(|bias| bias.abs() < 1e-20), "biases start at 0");
}
