//! Precise BatchNorm: the same statistics on any number of ranks, saved beside the weights, and nothing else of the run changes.

use std::collections::BTreeMap;
use std::fs;

use test_jobs::{TINY, Workdir, list, repeatable_metrics, tensors_f64, tiny_with};

use crate::resume::check_equal;

/// Batches of 4 + 4 + 4 + 4 + 2 images, for the weights and their average.
const PRECISE: &str = "eval.precise_bn_images=18 train.ema_decay=0.5 augment.horizontal_flip_probability=0.5";

/// All evaluate the same weights: a run that is continued at its last step evaluates again.
#[test]
fn the_statistics_are_the_same_on_any_number_of_ranks() {
    let workdir = Workdir::new(TINY);
    workdir.train(&format!("--name on1 {PRECISE} train.max_steps=2")).ends_with(0);
    for ranks in [2, 3] {
        let options = format!("--name on{ranks} --resume runs/on1 {PRECISE} train.max_steps=2");
        workdir.train(&options).ranks(ranks).ends_with(0);
    }
    let file = |ranks: usize, name: &str| {
        fs::read(workdir.run(&format!("on{ranks}")).checkpoint(2).join(format!("{name}.safetensors")))
            .unwrap()
    };
    for name in ["model", "precise", "precise_ema"] {
        for ranks in [2, 3] {
            assert!(file(1, name) == file(ranks, name), "{name} on {ranks} ranks");
        }
    }
    assert!(file(1, "precise") != file(1, "precise_ema"));
}

#[test]
fn the_statistics_change_evaluations_and_exports_alone() {
    let workdir =
        Workdir::new(&tiny_with("\"fp32\"", "\"fp64\"").replace("[model]", "[model]\ndropout = 0.5"));
    let average = PRECISE.split_once(' ').unwrap().1;
    workdir.train(&format!("--name without {average}")).ends_with(0);
    workdir.train(&format!("--name with {PRECISE}")).ends_with(0);
    workdir.train(&format!("--name parts {PRECISE} train.max_steps=2")).ends_with(0);
    workdir.train(&format!("--name parts --resume auto {PRECISE}")).ends_with(0);
    check_equal(&workdir, "with", "parts");

    let [without, with] = ["without", "with"].map(|name| workdir.run(name).checkpoint(6));
    let tensors = |name: &str| tensors_f64(&with.join(name));
    for name in ["model.safetensors", "ema.safetensors", "optimizer.safetensors"] {
        assert!(fs::read(without.join(name)).unwrap() == fs::read(with.join(name)).unwrap(), "{name}");
    }
    assert!(!list(&without).iter().any(|name| name.starts_with("precise")));
    let [mut plain, mut precise] = ["without", "with"].map(|name| repeatable_metrics(&workdir.run(name)));
    let epochs = |lines: &[_]| -> Vec<_> {
        let losses = lines.iter().filter_map(|line: &serde_json::Map<_, _>| line.get("val_loss").cloned());
        losses.collect()
    };
    assert!(epochs(&plain).len() == 2 && epochs(&plain)[1] != epochs(&precise)[1]);
    plain.iter_mut().chain(&mut precise).for_each(|line| line.retain(|key, _| !key.starts_with("val_")));
    assert_eq!(plain, precise);

    // An export has the weights with the statistics that its evaluation used.
    for (weights, statistics) in [("model", "precise"), ("ema", "precise_ema")] {
        let out = format!("{weights}.safetensors");
        let export = ["export", "--checkpoint", "runs/with", "--out", &out, "--weights", weights];
        workdir.trainer(&[&export[..], &["--names", "pycls"]].concat()).ends_with(0);
        let exported = tensors_but_counts(&workdir, &out);
        let statistics = tensors(&format!("{statistics}.safetensors"));
        let running = tensors(&out);
        assert!(statistics.keys().all(|name| name.contains("running_")) && statistics.len() > 2);
        for (name, values) in &exported {
            assert_eq!(values, statistics.get(name).unwrap_or(&running[name]), "{weights}: {name}");
        }
        assert!(statistics.iter().all(|(name, values)| *values != running[name]), "{weights}");
    }
}

/// The exported float64 tensors; `num_batches_tracked` is an integer.
fn tensors_but_counts(workdir: &Workdir, file: &str) -> BTreeMap<String, Vec<f64>> {
    let bytes = fs::read(workdir.path().join(file)).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let of = |entry: &serde_json::Value| {
        let at = |end: usize| 8 + length + entry["data_offsets"][end].as_u64().unwrap() as usize;
        let numbers = bytes[at(0)..at(1)].chunks(8);
        numbers.map(|number| f64::from_le_bytes(number.try_into().unwrap())).collect()
    };
    let is_float = |entry: &serde_json::Value| entry["dtype"] == "F64";
    header
        .iter()
        .filter(|(_, entry)| is_float(entry))
        .map(|(name, entry)| (name.clone(), of(entry)))
        .collect()
}
