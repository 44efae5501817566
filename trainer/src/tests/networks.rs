//! The recipes and randomly initialised networks of the tests.

use regatta_settings::Recipe;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use super::reference::Tensors;
use crate::replica::Replica;

/// The book's RegNetX32: convolutions with biases, one input channel.
pub(super) const REGNETX32: &str = r#"
[model]
conv_bias = true
init = "xavier_uniform"

[model.anynet]
stages = [
  { depth = 4, width = 32, group_width = 16 },
  { depth = 6, width = 80, group_width = 16 },
]
[data]
dataset = "synthetic"
resolution_px = 96
synthetic_channels = 1
synthetic_classes = 10
synthetic_train_images = 8
synthetic_val_images = 8
[train]
epochs = 1
global_batch_size = 8
[optim]
name = "sgd"
lr = 0.05
"#;

/// Every kind of block: projection by width alone and by stride, identity, bottlenecks, groups of several widths.
pub(super) const FOUR_STAGES: &str = r#"
[model]
stem_width = 16

[model.anynet]
stages = [
  { depth = 1, width = 24, group_width = 8, stride = 1 },
  { depth = 2, width = 32, group_width = 8 },
  { depth = 2, width = 48, group_width = 12, bottleneck_ratio = 0.5 },
  { depth = 1, width = 64, group_width = 1, bottleneck_ratio = 0.25 },
]
[data]
dataset = "synthetic"
resolution_px = 64
synthetic_channels = 3
synthetic_classes = 7
synthetic_train_images = 8
synthetic_val_images = 8
[train]
epochs = 1
global_batch_size = 8
[optim]
name = "sgd"
lr = 0.05
[comm]
first_bucket_mib = 0.01
bucket_cap_mib = 0.02
"#;

/// The recipe in `text` with these keys set, for one rank.
pub(super) fn recipe(text: &str, sets: &[String]) -> Recipe {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    std::fs::write(&path, text).unwrap();
    let raw = regatta_settings::load(&path, std::iter::empty(), sets).unwrap();
    raw.resolve(1, None).unwrap()
}

/// The recipe's network with random parameters and statistics, so that none is exactly 0 or 1.
pub(super) fn replica(recipe: &Recipe) -> Replica {
    let replica = Replica::new(recipe, Device::Cpu).unwrap();
    tch::manual_seed(1);
    tch::no_grad(|| {
        for (name, mut view) in replica.tensors(&replica.parameters, &replica.running) {
            let noise = match is_statistic(&name) {
                true => Tensor::rand(view.size(), (Kind::Float, Device::Cpu)),
                false => Tensor::randn(view.size(), (Kind::Float, Device::Cpu)) * 0.1,
            };
            _ = view.g_add_(&noise.to_kind(view.kind()));
        }
    });
    replica
}

/// The description of the recipe from which `reference.py` builds the same network.
pub(super) fn description(task: &str, recipe: &Recipe, reference_threads: i32) -> Value {
    let network = recipe.network();
    let stages: Vec<_> = network
        .stages
        .iter()
        .map(|stage| {
            json!({
                "depth": stage.depth, "width": stage.width, "stride": stage.stride,
                "group_width": stage.group_width, "bottleneck_ratio": stage.bottleneck_ratio,
            })
        })
        .collect();
    json!({
        "task": task,
        "network": {
            "in_channels": network.in_channels, "stem_width": network.stem_width, "classes": network.classes,
            "conv_bias": network.conv_bias, "stages": stages,
        },
        "dtype": format!("float{}", if recipe.train.precision == regatta_settings::Precision::Fp64 { 64 } else { 32 }),
        "autocast": recipe.train.precision == regatta_settings::Precision::Bf16,
        "memory_format": match recipe.train.memory_format {
            regatta_settings::MemoryFormat::ChannelsLast => "channels_last",
            _ => "contiguous_format",
        },
        "label_smoothing": recipe.train.label_smoothing,
        "threads": reference_threads,
    })
}

/// A copy of every tensor under `group.name`.
pub(super) fn named<'a>(group: &str, names: impl Iterator<Item = &'a str>, tensors: &[Tensor]) -> Tensors {
    names.zip(tensors).map(|(name, tensor)| (format!("{group}.{name}"), tensor.detach().copy())).collect()
}

fn is_statistic(name: &str) -> bool {
    name.contains("running_")
}

/// A copy of every tensor under `group.name`.
pub(super) fn under(group: &str, tensors: Vec<(String, Tensor)>) -> Tensors {
    tensors.into_iter().map(|(name, tensor)| (format!("{group}.{name}"), tensor.detach().copy())).collect()
}

/// Every parameter and statistic of the replica, also the frozen ones.
pub(super) fn weights(replica: &Replica) -> Tensors {
    let tensors = replica.tensors(&replica.parameters, &replica.running).into_iter();
    let group = |name: &str| if is_statistic(name) { "statistic" } else { "parameter" };
    tensors.map(|(name, tensor)| (format!("{}.{name}", group(&name)), tensor.detach().copy())).collect()
}

/// The views `tensors` of the replica, by the names of its trained parameters.
pub(super) fn by_parameter(group: &str, replica: &Replica, tensors: &[Tensor]) -> Tensors {
    named(group, replica.specs.iter().map(|spec| spec.name.as_str()), tensors)
}

/// A flat buffer of statistics, split into tensors by name.
pub(super) fn by_statistic(replica: &Replica, flat: &Tensor) -> Tensors {
    let mut at = 0;
    let mut cut = Vec::new();
    for statistic in &replica.statistics {
        cut.push(flat.narrow(0, at, statistic.width));
        at += statistic.width;
    }
    assert_eq!(flat.size(), [at], "every statistic is named");
    named("statistic", replica.statistics.iter().map(|statistic| statistic.name.as_str()), &cut)
}
