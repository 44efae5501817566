//! Mixing, losses and schedules give the results of torchvision, timm, Composer, pycls and FFCV in float64.

use regatta_data::{Mix, Rectangle, Size, cutmix};
use regatta_settings::{Loss, Recipe, TrainSettings};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use super::reference::{Case, Tensors};
use super::step_parity::with;
use crate::loss::{hits, summed_training_loss};
use crate::mixing::mixed;
use crate::schedule::LearningRate;

const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);
const CLASSES: i64 = 7;
const LABELS: [i64; 5] = [3, 0, 6, 3, 1];

/// All cases, which `reference.py` computes together with others, since Python takes seconds to load torch.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = mix_cases();
    cases.extend(loss_cases());
    cases.extend(schedule_cases());
    cases
}

/// The loss in the terms of timm.
pub(super) fn loss(train: &TrainSettings) -> Value {
    let name = match train.loss {
        Loss::CrossEntropy => "cross_entropy",
        Loss::Bce => "bce",
    };
    json!({ "name": name, "sum_classes": train.bce_sum_classes, "target_threshold": train.bce_target_threshold })
}

/// The draw in the terms of torchvision.
pub(super) fn draw(mix: Mix) -> Value {
    match mix {
        Mix::None => json!({ "kind": "none" }),
        Mix::MixUp { kept } => json!({ "kind": "mixup", "parameters": { "lam": kept } }),
        Mix::CutMix { replaced: Rectangle { left, top, width, height }, kept } => {
            let corners = [left, top, left + width, top + height];
            json!({ "kind": "cutmix", "parameters": { "box": corners, "lam_adjusted": kept } })
        }
    }
}

fn one_hot() -> Tensor {
    Tensor::from_slice(&LABELS).one_hot(CLASSES).to_kind(Kind::Double)
}

fn mix_cases() -> Vec<Case> {
    let size = Size { width: 12, height: 10 };
    let mixes = [
        ("none", Mix::None),
        ("mixup", Mix::MixUp { kept: 0.3 }),
        ("cutmix", cutmix(size, 0.4, [7, 2])),
        ("cutmix-empty", cutmix(size, 0.999, [11, 9])),
        ("cutmix-whole", cutmix(size, 0.0, [6, 5])),
    ];
    mixes.map(|(name, mix)| mix_case(name, size, mix)).into()
}

fn mix_case(name: &str, size: Size, mix: Mix) -> Case {
    let images = Tensor::randn([5, 3, size.height.into(), size.width.into()], DOUBLE);
    let (mixed_images, targets) = mixed(mix, &images, &one_hot());
    let labels = Tensor::from_slice(&LABELS).to_kind(Kind::Double);
    Case {
        name: format!("mix-{name}"),
        description: json!({ "task": "mix", "threads": 1, "draw": draw(mix), "classes": CLASSES }),
        inputs: [("images".into(), images), ("labels".into(), labels)].into(),
        results: [("images".into(), mixed_images), ("targets".into(), targets)].into(),
    }
}

fn loss_cases() -> Vec<Case> {
    let labels = Tensor::from_slice(&LABELS);
    let shares = mixed(Mix::MixUp { kept: 0.3 }, &Tensor::zeros([5, 1, 1, 1], DOUBLE), &one_hot()).1;
    let (bce, sum) = ("train.loss=bce", "train.bce_sum_classes=true");
    let (smooth, threshold) = ("train.label_smoothing=0.1", "train.bce_target_threshold=0.2");
    let recipes: [&[&str]; 7] = [
        &[],
        &[smooth],
        &[bce],
        &[bce, sum],
        &[bce, smooth],
        &[bce, smooth, threshold],
        &[bce, sum, threshold],
    ];
    let mut cases = Vec::new();
    for sets in recipes {
        let recipe = with(sets);
        for (kind, targets) in [("labels", &labels), ("shares", &shares)] {
            let name = format!("loss-{kind}-{}", sets.join("-"));
            cases.push(loss_case(&name, &recipe, targets, loss(&recipe.train)));
        }
    }
    cases.push(loss_case("loss-composer", &with(&[bce, sum]), &shares, json!({ "name": "composer" })));
    cases
}

fn loss_case(name: &str, recipe: &Recipe, targets: &Tensor, loss: Value) -> Case {
    let logits = Tensor::randn([5, CLASSES], DOUBLE) * 3.0;
    let inputs: Tensors =
        [("logits".into(), logits.copy()), ("targets".into(), targets.to_kind(Kind::Double))].into();
    let logits = logits.set_requires_grad(true);
    let loss_sum = summed_training_loss(&logits, targets, &recipe.train);
    loss_sum.backward();
    let results = [("loss".into(), loss_sum.detach()), ("gradient".into(), logits.grad())].into();
    let description = json!({ "task": "loss", "threads": 1, "loss": loss, "label_smoothing": recipe.train.label_smoothing });
    Case { name: name.into(), description, inputs, results }
}

/// A rate of 0.4 over 12 epochs of three steps, the first four of them warm-up.
fn schedule_cases() -> Vec<Case> {
    let (start, last, by_epoch) =
        ("schedule.warmup_start_fraction=0.1", "schedule.final_lr_fraction=0.05", "schedule.by_epoch=true");
    let (cosine, linear) = ("schedule.name=cosine", "schedule.name=linear");
    let multiplies = "schedule.warmup_multiplies=true";
    vec![
        schedule_case("torchvision", &[cosine, start, last, by_epoch], 0),
        schedule_case("pycls-cos", &[cosine, start, last, by_epoch, multiplies], 0),
        schedule_case("pycls-lin", &[linear, start, last, by_epoch, multiplies], 0),
        // FFCV's warm-up is one step behind.
        schedule_case("ffcv", &[linear], 12),
    ]
}

fn schedule_case(of: &str, sets: &[&str], first: u64) -> Case {
    let common = ["optim.lr=0.4", "train.epochs=12", "schedule.warmup_epochs=4"];
    let recipe = with(&[sets, &common].concat());
    let rate = LearningRate::of(&recipe, 3);
    let rates: Vec<f64> = (first..36).map(|step| rate.at(step)).collect();
    let description = json!({
        "task": "schedule", "threads": 1, "of": of, "base": 0.4, "epochs": 12, "warmup": 4, "steps_per_epoch": 3,
        "start": 0.1, "final": 0.05,
    });
    let results = [("rates".into(), Tensor::from_slice(&rates))].into();
    // A file of tensors holds at least one.
    let inputs = [("none".into(), Tensor::zeros([1], DOUBLE))].into();
    Case { name: format!("schedule-{of}"), description, inputs, results }
}

#[test]
fn a_mixed_image_is_right_about_the_label_with_the_larger_share() {
    let logits = one_hot();
    let shares = |kept| mixed(Mix::MixUp { kept }, &Tensor::zeros([5, 1, 1, 1], DOUBLE), &one_hot()).1;
    let hits = |targets: &Tensor| hits(&logits, targets).double_value(&[]);
    assert_eq!(hits(&Tensor::from_slice(&LABELS)), 5.0);
    // No image has the label of the one before it.
    assert_eq!([0.3, 0.7].map(|kept| hits(&shares(kept))), [0.0, 5.0]);
}
