//! One step gives the same result on one, two and three ranks: gradients, statistics and evaluation, in float64.

use std::collections::BTreeMap;

use regatta_run_folder::RunFolder;

use crate::image_files;
use test_jobs::{Workdir, metrics, newest_step, tensors_f64, tiny_with};

/// Largest relative difference in the L2 norm; single steps stay below it, longer trajectories would not.
const TOLERANCE: f64 = 1e-10;

/// A float64 recipe with convolution biases and buckets so small that there are many.
fn recipe() -> String {
    tiny_with("stem_width", "conv_bias = true\nstem_width").replace("\"fp32\"", "\"fp64\"")
        + "[comm]\nfirst_bucket_mib = 0.001\nbucket_cap_mib = 0.004\n"
}

/// The result of a step: momentum (after a first step without weight decay it is exactly the reduced gradient) and
/// running statistics by tensor, the training accuracy of the step, and the evaluation.
struct Outcome {
    tensors: BTreeMap<String, Vec<f64>>,
    train_top1: f64,
    top1: f64,
    top5: f64,
    loss: f64,
}

impl Outcome {
    fn of(run: &RunFolder) -> Self {
        let checkpoint = run.checkpoint(newest_step(run));
        let mut tensors = tensors_f64(&checkpoint.join("optimizer.safetensors"));
        let model = tensors_f64(&checkpoint.join("model.safetensors"));
        tensors.extend(model.into_iter().filter(|(name, _)| name.contains("running_")));
        if checkpoint.join("ema.safetensors").exists() {
            let average = tensors_f64(&checkpoint.join("ema.safetensors")).into_iter();
            tensors.extend(average.map(|(name, values)| (format!("ema.{name}"), values)));
        }
        let evaluation = metrics(run).pop().unwrap();
        let number = |name: &str| evaluation[name].as_f64().unwrap();
        let [train_top1, top1, top5, loss] = ["train_top1", "val_top1", "val_top5", "val_loss"].map(number);
        Self { tensors, train_top1, top1, top5, loss }
    }

    fn check_equal(&self, other: &Self, what: &str) {
        assert_eq!(self.train_top1, other.train_top1, "{what}: training accuracy");
        assert_eq!((self.top1, self.top5), (other.top1, other.top5), "{what}: evaluation counts");
        assert!((self.loss - other.loss).abs() <= TOLERANCE * self.loss, "{what}: validation loss");
        assert!(self.tensors.keys().eq(other.tensors.keys()), "{what}: names");
        for (name, values) in &self.tensors {
            let difference = l2(values.iter().zip(&other.tensors[name]).map(|(a, b)| a - b));
            // The gradient of a convolution's bias before a BatchNorm is zero up to rounding.
            let scale = if is_bias_before_norm(name) { 1.0 } else { l2(values.iter().copied()) };
            assert!(scale > 1e-6, "{what}: {name} is all but zero, which shows nothing");
            assert!(difference <= TOLERANCE * scale, "{what}: {name} differs by {difference:e} of {scale:e}");
        }
    }
}

fn l2(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

fn is_bias_before_norm(name: &str) -> bool {
    let layer = name.trim_start_matches("momentum.").strip_suffix(".bias");
    layer.is_some_and(|layer| !layer.ends_with("bn") && layer != "head.fc")
}

/// Runs an epoch of one step with `options` on one, two and three ranks and compares the results.
fn check_first_step(options: &str) {
    check_first_step_of(&recipe(), options);
}

fn check_first_step_of(recipe: &str, options: &str) {
    check_first_step_in(&Workdir::new(recipe), &[1, 2, 3], options);
}

/// Runs the step alone and at each of these world sizes, in a folder that may hold weights to start from.
fn check_first_step_in(workdir: &Workdir, world_sizes: &[usize], options: &str) {
    let outcome = |ranks: usize, backend: &str| {
        let name = format!("{backend}{ranks}");
        let options = format!("--name {name} train.epochs=1 comm.backend={backend} {options}");
        workdir.train(&options).ranks(ranks).ends_with(0);
        Outcome::of(&workdir.run(&name))
    };
    let alone = outcome(1, "single");
    for &ranks in world_sizes {
        alone.check_equal(&outcome(ranks, "mpi"), &format!("{ranks} ranks, {options}"));
    }
}

#[test]
fn uneven_micro_batches_give_the_same_step() {
    // 4 + 4 + 2 images: two ranks take two micro-batches and one.
    check_first_step("data.synthetic_train_images=10");
    // Each micro-batch is mixed by its number, whichever rank has it.
    let mixed = "augment.mixup_alpha=0.8 augment.cutmix_alpha=1.0 train.label_smoothing=0.1";
    check_first_step(&format!("data.synthetic_train_images=10 train.memory_format=contiguous {mixed}"));
    // 3 + 3 + 3 + 1 images: three ranks take two, one and one; the last evaluation batch has one image as well.
    check_first_step("data.synthetic_train_images=10 train.micro_batch_size=3");
}

#[test]
fn other_blocks_and_stems_give_the_same_step() {
    let data = "data.synthetic_train_images=10";
    let stage = "model.anynet.stages=[{depth=2,width=16,group_width=4,se_ratio=0.25}]";
    let loss = "train.loss=bce train.bce_target_threshold=0.2 augment.cutmix_alpha=1.0";
    check_first_step(&format!("{data} model.dropout=0.5 {stage} {loss}"));
    let stages = "model.anynet.stages=[{depth=1,width=16},{depth=1,width=8}]";
    check_first_step(&format!("{data} {stages} model.anynet.block=resnet_basic model.stem=resnet"));
    check_first_step(&format!("{data} {stages} model.anynet.block=vanilla model.stem=cifar"));
}

/// The flattening stem of such a network has no width.
#[test]
fn fully_connected_networks_give_the_same_step() {
    let recipe = recipe().replace("stem_width = 16\n", "").replace(", group_width = 8", "");
    let options = "data.synthetic_train_images=10 model.anynet.block=mlp model.dropout=0.25";
    check_first_step_of(&recipe, options);
}

/// Every change of images and batches, the moving average and precise statistics: seven micro-batches of image files.
#[test]
fn everything_switched_on_gives_the_same_step() {
    let workdir = image_files::workdir_of(&image_files::everything());
    // A learning rate so large that the average moves visibly in one step.
    let one_epoch = "train.precision=fp64 train.global_batch_size=26 data.resolution=[{after_epochs=0,px=24}] \
                     train.ema_warmup=none optim.lr=1 schedule.warmup_start_fraction=1";
    check_first_step_in(&workdir, &[2, 4], one_epoch);
}

/// With one frozen stage, and with a body that is frozen completely, so that no statistic has to be summed.
#[test]
fn fine_tuning_gives_the_same_step() {
    for (frozen, world_sizes) in [(1, &[2, 3][..]), (2, &[2])] {
        let workdir = Workdir::new(&recipe());
        workdir.train("--name start train.max_steps=1").ends_with(0);
        workdir.trainer(&["export", "--checkpoint", "runs/start", "--out", "start.safetensors"]).ends_with(0);
        let weights =
            format!("model.pretrained=start.safetensors model.frozen_stages={frozen} optim.head_lr=0.2");
        check_first_step_in(&workdir, world_sizes, &format!("data.synthetic_train_images=10 {weights}"));
    }
}

#[test]
fn ranks_without_an_image_do_not_change_the_step() {
    // One micro-batch of three images, and one evaluation batch: for rank 0 alone.
    check_first_step("data.synthetic_train_images=3 data.synthetic_val_images=4");
    // Two micro-batches: rank 2 has none.
    check_first_step("data.synthetic_train_images=6 train.label_smoothing=0.1");
}

/// Two steps on one rank, then the epoch's last, smaller step (4 + 2 images) from there at each world size.
#[test]
fn a_last_step_with_too_few_images_for_all_ranks_is_the_same() {
    let workdir = Workdir::new(&recipe());
    workdir.train("--name start train.max_steps=2").ends_with(0);
    let outcome = |ranks: usize| {
        let options = format!("--name from{ranks} --resume runs/start train.max_steps=3");
        workdir.train(&options).ranks(ranks).ends_with(0);
        Outcome::of(&workdir.run(&format!("from{ranks}")))
    };
    let one = outcome(1);
    for ranks in [2, 3] {
        one.check_equal(&outcome(ranks), &format!("{ranks} ranks"));
    }
}

/// Evaluates the same weights at every world size and batch size, so that the counts are equal despite rounding.
#[test]
fn every_validation_image_is_counted_once() {
    let workdir = Workdir::new(&recipe());
    let hits = |ranks: usize, batch: usize| {
        let name = format!("r{ranks}b{batch}");
        let options = format!("--name {name} train.max_steps=1 train.epochs=1 eval.batch_size={batch}");
        let sizes = "data.synthetic_train_images=10 data.synthetic_val_images=101";
        workdir.train(&format!("{options} {sizes}")).ranks(ranks).ends_with(0);
        let line = metrics(&workdir.run(&name)).pop().unwrap();
        ["val_top1", "val_top5"].map(|name| {
            let count = line[name].as_f64().unwrap() * 101.0;
            assert!((count - count.round_ties_even()).abs() < 1e-9, "{count} of 101 images");
            count.round_ties_even() as u32
        })
    };
    let alone = hits(1, 101);
    assert!(alone[0] <= alone[1] && (1..101).contains(&alone[1]), "{alone:?}");
    for (ranks, batch) in [(2, 10), (3, 7), (3, 64)] {
        assert_eq!(hits(ranks, batch), alone, "{ranks} ranks, batches of {batch}");
    }
}
