//! The order of images announces exactly what the training loop consumes, wherever the run begins and ends.

use regatta_comm::World;
use regatta_data::{ImageShape, Split, SyntheticDataset, SyntheticSettings};
use std::sync::Arc;

use super::networks::{FOUR_STAGES, recipe};
use crate::datasets::Datasets;
use crate::feed::Purpose;
use crate::image_order::{ImageOrder, StepImages};
use crate::progress::Progress;

fn order(sets: &[&str]) -> ImageOrder {
    let common = ["train.global_batch_size=4", "train.micro_batch_size=2", "eval.batch_size=3"];
    let sets: Vec<_> = common.iter().chain(sets).map(|&set| set.to_owned()).collect();
    let shape = ImageShape { channels: 3, height: 8, width: 8 };
    let source = |images| {
        let settings = SyntheticSettings { images, shape, classes: 7, seed: 1 };
        Arc::new(SyntheticDataset::new(settings, Split::Train))
    };
    let datasets = Datasets::without_lists(source(10), source(7));
    ImageOrder::new(&recipe(FOUR_STAGES, &sets), &datasets, false, &World::alone())
}

/// The segments with their numbers of images, from an epoch and a step in it; an epoch has three steps.
fn segments(sets: &[&str], (epoch, step_in_epoch): (u64, u64)) -> String {
    let progress = Progress { epoch, step_in_epoch, step: 3 * epoch + step_in_epoch, ..Progress::default() };
    let segments = order(sets).segments(&progress).map(|segment| {
        let segment = segment.unwrap();
        let name = match segment.purpose {
            Purpose::Training => "train",
            Purpose::PreciseStatistics => "precise",
            Purpose::Evaluation => "val",
        };
        let sizes: Vec<_> = segment.micro_batches.map(|indices| indices.len().to_string()).collect();
        format!("{name} {}: {}", segment.epoch, sizes.join("+"))
    });
    segments.collect::<Vec<_>>().join(", ")
}

#[test]
fn epochs_and_evaluations_alternate_as_the_recipe_says() {
    let full = "train 0: 2+2+2+2+2, val 0: 3+3+1, train 1: 2+2+2+2+2, val 1: 3+3+1";
    let check = |sets: &[&str], from, expected: &str| {
        let sets = [&["train.epochs=2"], sets].concat();
        assert_eq!(segments(&sets, from), expected, "{sets:?} from {from:?}");
    };
    check(&[], (0, 0), full);
    check(&[], (0, 2), &full.replace("0: 2+2+2+2+2", "0: 2"));
    // Stopped in the evaluation, which comes again.
    check(&[], (0, 3), &full.replace("0: 2+2+2+2+2", "0: "));
    check(&[], (1, 1), "train 1: 2+2+2, val 1: 3+3+1");
    check(&[], (2, 0), "");
    check(&["train.ema_decay=0.9"], (1, 0), "train 1: 2+2+2+2+2, val 1: 3+3+1, val 1: 3+3+1");
    check(&["train.ema_half_life_steps=9"], (1, 0), "train 1: 2+2+2+2+2, val 1: 3+3+1, val 1: 3+3+1");
    let precise = ["eval.precise_bn_images=5", "train.ema_decay=0.9"];
    check(
        &precise[..1],
        (0, 3),
        "train 0: , precise 0: 2+2+1, val 0: 3+3+1, train 1: 2+2+2+2+2, precise 1: 2+2+1, val 1: 3+3+1",
    );
    check(&precise, (1, 2), "train 1: 2, precise 1: 2+2+1, val 1: 3+3+1, val 1: 3+3+1");
    let interval = [&precise[..1], &["eval.interval_epochs=2"]].concat();
    check(&interval, (0, 2), "train 0: 2, train 1: 2+2+2+2+2, precise 1: 2+2+1, val 1: 3+3+1");
    check(&["eval.interval_epochs=0"], (0, 0), "train 0: 2+2+2+2+2, train 1: 2+2+2+2+2");
    check(&["eval.interval_epochs=9"], (0, 0), "train 0: 2+2+2+2+2, train 1: 2+2+2+2+2, val 1: 3+3+1");
    check(&["train.drop_last=true"], (1, 0), "train 1: 2+2+2+2, val 1: 3+3+1");
    check(&["train.max_steps=2"], (0, 0), "train 0: 2+2+2+2, val 0: 3+3+1");
    check(&["train.max_steps=2"], (0, 1), "train 0: 2+2, val 0: 3+3+1");
    check(&["train.max_steps=2"], (0, 2), "train 0: , val 0: 3+3+1");
    check(&["train.max_steps=3"], (0, 0), "train 0: 2+2+2+2+2, val 0: 3+3+1");
    check(&["train.max_steps=3"], (1, 0), "");
    let limited = ["train.max_steps=4", "eval.interval_epochs=2"];
    check(&limited, (0, 0), "train 0: 2+2+2+2+2, train 1: 2+2, val 1: 3+3+1");
}

#[test]
fn a_step_takes_the_micro_batches_of_the_sampler() {
    let order = order(&[]);
    let steps: Vec<_> = (0..order.steps_per_epoch()).map(|step| order.step(step)).collect();
    let expected = [(4, 0..2), (4, 2..4), (2, 4..5)];
    assert_eq!(steps, expected.map(|(images, numbers)| StepImages { images, numbers }));
}
