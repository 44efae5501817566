//! Ten updates of an optimizer, a complete training step, the moving average and precise statistics give the same results as
//! PyTorch.

use std::sync::Arc;

use regatta_comm::World;
use regatta_data::{ImageShape, Images, Mix, Scratch, Size, Split, SyntheticDataset, SyntheticSettings};
use regatta_settings::{self as settings, OptimSettings, Recipe};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use super::average::{FIRST, average_case, precise_cases};
use super::networks::{FOUR_STAGES, by_parameter, description, recipe, replica, under, weights};
use super::reference::{Case, Tensors, compare_with_pytorch};
use super::{alone, assert_close, batch, training_feed};
use crate::control::Requests;
use crate::debug::Inspector;
use crate::input::images;
use crate::mixing::Mixing;
use crate::optimizer::Optimizer;
use crate::replica::Replica;
use crate::step::{Learner, StepSource};

const SGD: &[&str] = &["optim.momentum=0.9"];
const NESTEROV: &[&str] = &[
    "optim.momentum=0.9",
    "optim.nesterov=true",
    "optim.weight_decay=0.02",
    "optim.weight_decay_norm=0.003",
    "optim.weight_decay_bias=0.05",
    "optim.head_lr=0.15",
];
const ADAMW: &[&str] = &[
    "optim.name=adamw",
    "optim.beta1=0.8",
    "optim.beta2=0.95",
    "optim.eps=1e-6",
    "optim.weight_decay=0.1",
    "optim.weight_decay_norm=0.01",
    "optim.weight_decay_bias=0.3",
    "optim.head_lr=0.01",
];
/// Convolutions with biases, so that there is a parameter in every group.
const BIASES: &str = "model.conv_bias=true";
const FROZEN: &[&str] = &["model.pretrained=x.safetensors", "model.frozen_stages=2"];

/// CutMix for the first of two micro-batches, Mixup for the second. In both the partner's label has the larger share.
const MIXED: &[&str] = &["augment.mixup_alpha=0.8", "augment.cutmix_alpha=1.0", "train.seed=0"];

/// The recipe of four stages with these keys.
pub(super) fn with(sets: &[&str]) -> Recipe {
    recipe(FOUR_STAGES, &sets.iter().map(|&set| set.to_owned()).collect::<Vec<_>>())
}

/// The optimizer in the terms of `torch.optim`.
fn optim(optim: &OptimSettings) -> Value {
    let (name, constants) = match optim.optimizer {
        settings::Optimizer::Sgd { momentum, nesterov } => {
            ("SGD", json!({ "lr": optim.lr, "momentum": momentum, "nesterov": nesterov }))
        }
        settings::Optimizer::AdamW { beta1, beta2, eps } => {
            ("AdamW", json!({ "lr": optim.lr, "betas": [beta1, beta2], "eps": eps }))
        }
    };
    json!({
        "name": name, "constants": constants, "head_lr": optim.head_lr.unwrap_or(optim.lr),
        "weight_decay": optim.weight_decay, "weight_decay_norm": optim.weight_decay_norm,
        "weight_decay_bias": optim.weight_decay_bias,
    })
}

/// The optimizer's state after an update. Without momentum PyTorch has none, and ours stays zero.
fn state(replica: &Replica, optimizer: &Optimizer, settings: &OptimSettings) -> Tensors {
    let mut results = Tensors::new();
    for (name, buffer) in &optimizer.state {
        if matches!(settings.optimizer, settings::Optimizer::Sgd { momentum: 0.0, .. }) {
            assert_eq!(buffer.flat.abs().max().double_value(&[]), 0.0);
        } else {
            results.extend(by_parameter(&format!("state.{name}"), replica, &buffer.views));
        }
    }
    results
}

fn optimizer_case(name: &str, sets: &[&str]) -> Case {
    tch::set_num_threads(2);
    let recipe = with(&[sets, &[BIASES]].concat());
    let mut replica = replica(&recipe);
    let mut optimizer = Optimizer::new(&recipe.optim, &replica);
    let mut inputs = by_parameter("parameter", &replica, &replica.parameters.views);
    let lrs: Vec<f64> = (1..=10).map(|number| 0.01 * f64::from(number)).collect();
    for (number, &lr) in lrs.iter().enumerate() {
        for view in &mut replica.gradients.views {
            _ = view.normal_(0.1, 1.0);
        }
        inputs.extend(by_parameter(&format!("gradient.{number}"), &replica, &replica.gradients.views));
        optimizer.set_lr(lr);
        optimizer.step(&Tensor::from(0.0f32)).unwrap();
    }
    let mut results = by_parameter("parameter", &replica, &replica.parameters.views);
    results.extend(state(&replica, &optimizer, &recipe.optim));
    let description = json!({ "task": "optimizer", "threads": 2, "optim": optim(&recipe.optim), "lrs": lrs });
    Case { name: name.into(), description, inputs, results }
}

/// A data set of six small images, which the batches enlarge.
fn dataset(recipe: &Recipe) -> SyntheticDataset {
    let shape = ImageShape { channels: 3, height: 28, width: 28 };
    let classes = recipe.network().classes as usize;
    SyntheticDataset::new(SyntheticSettings { images: 6, shape, classes, seed: 3 }, Split::Train)
}

/// The tensors that both sides start from: parameters, running statistics, and the images as bytes.
fn step_inputs(replica: &Replica, images: &Images, indices: &[usize]) -> Tensors {
    let mut images_nhwc = vec![0; indices.len() * images.shape().bytes()];
    let labels = images.read_all(0, indices, &mut Scratch::default(), &mut images_nhwc).unwrap();
    let bytes = Tensor::from_data_size(&images_nhwc, &[indices.len() as i64, 28, 28, 3], Kind::Uint8);
    let mut inputs = weights(replica);
    inputs.insert("bytes_nhwc".into(), bytes.to_kind(Kind::Double));
    inputs.insert("labels".into(), Tensor::from_slice(&labels).to_kind(Kind::Double));
    inputs
}

/// How the two micro-batches of the step are mixed, if they are.
fn draws(recipe: &Recipe) -> [Option<Mix>; 2] {
    let size = Size { width: recipe.data.resolution_px, height: recipe.data.resolution_px };
    [0, 1].map(|number| Mixing::of(recipe).map(|mixing| mixing.draw((0, number), size)))
}

/// One step over micro-batches of four and two images.
fn step_case(name: &str, sets: &[&str], precision: &str) -> Case {
    tch::set_num_threads(2);
    let precision = format!("train.precision={precision}");
    let common =
        ["train.clip_grad_norm=0.5", "train.ema_decay=0.9", "train.label_smoothing=0.1", precision.as_str()];
    let recipe = with(&[sets, &common].concat());
    let replica = replica(&recipe);
    let order = [3, 0, 5, 1, 4, 2];
    let images = images(&recipe, Arc::new(dataset(&recipe)), Split::Validation);
    let mut inputs = step_inputs(&replica, &images, &order);

    let world = World::alone();
    let mut learner = Learner::new(&recipe, replica, &world).unwrap();
    if recipe.train.precision == settings::Precision::Fp32 {
        // The last bit of an image depends on how it is normalised, and backward amplifies it beyond the tolerance.
        let mut feed = training_feed(&recipe, dataset(&recipe), &[&order]);
        inputs.insert("images".into(), feed.next().unwrap().unwrap().0);
    }
    let feed = training_feed(&recipe, dataset(&recipe), &[&order[..4], &order[4..]]);
    let mut source = StepSource { feed, inspector: Inspector { enabled: false } };
    let mut launched =
        learner.step(0..2, order.len(), recipe.optim.lr, Requests::default(), &mut source).unwrap();
    learner.update_average(&mut launched, FIRST).unwrap();
    let outcome = launched.pending.outcome().unwrap();
    assert!(outcome.updated);

    let Learner { replica, optimizer, ema, .. } = &learner;
    let mut results = weights(replica);
    results.extend(state(replica, optimizer, &recipe.optim));
    let ema = ema.as_ref().unwrap();
    results.extend(under("ema", replica.tensors(&ema.parameters, &ema.running)));
    results.insert("loss".into(), Tensor::from(outcome.loss_sum).to_kind(replica.parameters.flat.kind()));
    results.insert("hits".into(), Tensor::from(outcome.hits as f32));
    let mut description = description("step", &recipe, 2);
    description["optim"] = optim(&recipe.optim);
    description["frozen_stages"] = json!(recipe.model.frozen_stages);
    description["micro_batches"] = json!([4, 2]);
    description["draws"] = draws(&recipe).map(|mix| mix.map(batch::draw)).into_iter().collect();
    description["loss"] = batch::loss(&recipe.train);
    description["clip_grad_norm"] = json!(recipe.train.clip_grad_norm);
    description["ema_decay"] = json!(recipe.train.ema_decay);
    description["mean"] = json!(recipe.data.mean);
    description["std"] = json!(recipe.data.std);
    description["resolution_px"] = json!(recipe.data.resolution_px);
    Case { name: name.into(), description, inputs, results }
}

/// Python takes seconds to load torch, so one test has all cases.
#[test]
fn ten_updates_and_a_whole_step_equal_pytorchs() {
    let _alone = alone();
    let is_mixed = matches!(
        draws(&with(MIXED)),
        [Some(Mix::CutMix { kept: 0.0..0.5, .. }), Some(Mix::MixUp { kept: 0.0..0.5 })]
    );
    assert!(is_mixed, "{:?}", draws(&with(MIXED)));
    let updates = [("plain", &[][..]), ("momentum", SGD), ("nesterov", NESTEROV), ("adamw", ADAMW)];
    let mut cases: Vec<_> = updates.map(|(name, sets)| optimizer_case(name, sets)).into();
    cases.extend([
        step_case("nesterov-fp32", NESTEROV, "fp32"),
        step_case("nesterov-fp64", NESTEROV, "fp64"),
        step_case("adamw-fp64", ADAMW, "fp64"),
        step_case("frozen-fp64", &[NESTEROV, FROZEN, &[BIASES]].concat(), "fp64"),
        step_case("mixed-fp64", MIXED, "fp64"),
        step_case(
            "mixed-bce-fp64",
            &[MIXED, &["train.loss=bce", "train.bce_sum_classes=true"]].concat(),
            "fp64",
        ),
        average_case(),
    ]);
    cases.extend(precise_cases());
    cases.extend(batch::cases());
    let is_one_of = |what: &str, names: &[&str]| names.iter().any(|name| what.starts_with(name));
    compare_with_pytorch(&cases, |what, ours, theirs| {
        let tolerance = match what {
            _ if is_one_of(what, &["mix-", "loss-", "schedule-"]) => 1e-14,
            _ if is_one_of(what, &["average", "precise"]) => 1e-12,
            _ => 1e-6,
        };
        assert_close(what, ours, theirs, tolerance);
    });
}
