//! The moving average equals torchvision's over the same weights, and precise statistics equal those of pycls's procedure.
//! `step_parity` runs these cases, so that Python loads its libraries once.

use regatta_comm::World;
use regatta_data::{ImageShape, Shard, Split, SyntheticDataset, SyntheticSettings};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::networks::{
    FOUR_STAGES, by_parameter, by_statistic, description, recipe, replica, under, weights,
};
use super::reference::Case;
use super::training_feed;
use crate::average::{Average, AveragingRule, Position};
use crate::precise::{PreciseBatches, precise_statistics};

/// The run's first step.
pub(super) const FIRST: Position = Position { epoch: 0, step_in_epoch: 0, steps_per_epoch: 1 };
const STEPS_PER_EPOCH: u64 = 5;

/// Random weights after every step of three epochs. The average is scaled by the batch, updated in some steps, and a copy in the
/// first epoch.
pub(super) fn average_case() -> Case {
    let sets = [
        "train.epochs=3",
        "train.precision=fp64",
        "schedule.warmup_epochs=1",
        "train.ema_decay=0.98",
        "train.ema_interval_steps=2",
        "train.ema_scale_by_batch=true",
        "train.ema_warmup=copy",
    ];
    let recipe = recipe(FOUR_STAGES, &sets.map(str::to_owned));
    let mut replica = replica(&recipe);
    let mut ema = Average::new(&recipe, &replica).unwrap();
    let mut inputs = weights(&replica);
    for number in 0..3 * STEPS_PER_EPOCH {
        let (epoch, step_in_epoch) = (number / STEPS_PER_EPOCH, number % STEPS_PER_EPOCH);
        let all = replica.parameters.views.iter_mut().chain(&mut replica.running.views);
        tch::no_grad(|| all.for_each(|view| _ = view.normal_(0.5, 1.0)));
        let group = format!("{epoch}.{step_in_epoch}");
        inputs.extend(under(&group, replica.tensors(&replica.parameters, &replica.running)));
        let at = Position { epoch, step_in_epoch, steps_per_epoch: STEPS_PER_EPOCH };
        ema.update(&replica, at, &Tensor::from(1.0f32));
    }
    let results = under("ema", replica.tensors(&ema.parameters, &ema.running));
    let mut description = description("average", &recipe, 2);
    description["epochs"] = json!(3);
    description["steps_per_epoch"] = json!(STEPS_PER_EPOCH);
    description["warmup_epochs"] = json!(1);
    description["global_batch_size"] = json!(recipe.train.global_batch_size);
    description["ema_decay"] = json!(0.98);
    description["ema_interval_steps"] = json!(2);
    Case { name: "average".into(), description, inputs, results }
}

/// Batches of four and two images, for the weights and for another set of weights in the place of their average.
pub(super) fn precise_cases() -> [Case; 2] {
    tch::set_num_threads(2);
    let sets = ["train.precision=fp64", "train.ema_decay=0.9"].map(str::to_owned);
    let recipe = recipe(FOUR_STAGES, &sets);
    let mut replica = replica(&recipe);
    let ema = Average::new(&recipe, &replica).unwrap();
    tch::no_grad(|| replica.parameters.views.iter_mut().for_each(|view| _ = view.g_mul_scalar_(1.1)));
    let dataset = || {
        let shape = ImageShape { channels: 3, height: 28, width: 28 };
        SyntheticDataset::new(SyntheticSettings { images: 6, shape, classes: 7, seed: 3 }, Split::Train)
    };
    let order = [3, 0, 5, 1, 4, 2];
    let images_nchw = training_feed(&recipe, dataset(), &[&order]).next().unwrap().unwrap().0;
    let mut feed = training_feed(&recipe, dataset(), &[&order[..4], &order[4..]]);
    let batches = PreciseBatches { images: 6, batch_size: 4, shard: Shard { rank: 0, world_size: 1 } };
    let running = replica.running.flat.copy();
    let computed =
        precise_statistics((&mut replica, Some(&ema)), 9, &mut feed, batches, &World::alone(), &|| false);
    let precise = computed.unwrap().unwrap();
    assert!(replica.running.flat.equal(&running), "the run's statistics stay as they are");

    let case = |name: &str, parameters: &[Tensor], statistics: &Tensor| {
        let mut inputs = by_parameter("parameter", &replica, parameters);
        inputs.extend(by_statistic(&replica, &running));
        inputs.insert("images".into(), images_nchw.copy());
        let mut description = description("precise", &recipe, 2);
        description["batch_size"] = json!(4);
        Case { name: name.into(), description, inputs, results: by_statistic(&replica, statistics) }
    };
    [
        case("precise", &replica.parameters.views, &precise.model.flat),
        case("precise-of-average", &ema.parameters.views, &precise.ema.unwrap().flat),
    ]
}

#[test]
fn stopped_statistics_are_none() {
    let recipe = recipe(FOUR_STAGES, &[]);
    let mut replica = replica(&recipe);
    let dataset = SyntheticDataset::new(
        SyntheticSettings {
            images: 6,
            shape: ImageShape { channels: 3, height: 28, width: 28 },
            classes: 7,
            seed: 3,
        },
        Split::Train,
    );
    let mut feed = training_feed(&recipe, dataset, &[&[0, 1], &[2, 3]]);
    let batches = PreciseBatches { images: 4, batch_size: 2, shard: Shard { rank: 0, world_size: 1 } };
    let stopped = precise_statistics((&mut replica, None), 1, &mut feed, batches, &World::alone(), &|| true);
    assert!(stopped.unwrap().is_none());
}

#[test]
fn decays() {
    let decay = |sets: &[&str]| {
        let common = ["train.epochs=4", "train.global_batch_size=8"];
        let sets: Vec<_> = common.iter().chain(sets).map(|&set| set.to_owned()).collect();
        let rule = AveragingRule::of(&recipe(FOUR_STAGES, &sets));
        1.0 - rule.weight(FIRST).unwrap()
    };
    let check = |sets: &[&str], expected: f64| {
        let found = decay(sets);
        assert!((found - expected).abs() < 1e-12, "{sets:?}: {found}");
    };
    check(&["train.ema_decay=0.9", "train.ema_interval_steps=4"], 0.9);
    // 1 - (1 - 0.99) * 8 * 4 / 4, and at most a copy.
    let scaled = ["train.ema_interval_steps=4", "train.ema_scale_by_batch=true"];
    check(&[&scaled[..], &["train.ema_decay=0.99"]].concat(), 0.92);
    check(&[&scaled[..], &["train.ema_decay=0.5"]].concat(), 0.0);
    check(&["train.ema_half_life_steps=8", "train.ema_interval_steps=4"], 0.5f64.sqrt());
}

/// A weight of 1 copies to the bit, and a step that was skipped changes nothing, whatever the average holds.
#[test]
fn copies_are_exact_and_skipped_steps_change_nothing() {
    let sets = ["train.ema_decay=0.9", "train.ema_warmup=copy", "schedule.warmup_epochs=0.5"];
    let recipe = recipe(FOUR_STAGES, &sets.map(str::to_owned));
    let mut replica = replica(&recipe);
    let mut ema = Average::new(&recipe, &replica).unwrap();
    let before = ema.parameters.flat.copy();
    tch::no_grad(|| _ = replica.parameters.flat.normal_(1e-3, 1e3));
    ema.update(&replica, FIRST, &Tensor::zeros([], (Kind::Float, Device::Cpu)));
    super::assert_equal_to_the_bit("skipped", &ema.parameters.flat, &before);
    ema.update(&replica, FIRST, &Tensor::from(1.0f32));
    super::assert_equal_to_the_bit("copied", &ema.parameters.flat, &replica.parameters.flat.detach());
}
