//! The recipe of all tests: a network and a data set so small that a run takes a fraction of a second.

/// A recipe whose epochs have three steps, with micro-batches of 4 + 4 + 2, 4 + 4 + 2 and 4 + 2 images. Each rank has one
/// thread, so that equal runs are equal bit for bit.
pub const TINY: &str = r#"[model]
stem_width = 16

[model.anynet]
stages = [{ depth = 1, width = 16, group_width = 8 }, { depth = 1, width = 16, group_width = 8 }]
[data]
dataset = "synthetic"
resolution_px = 16
synthetic_train_images = 26
synthetic_val_images = 13
synthetic_channels = 1
synthetic_classes = 10
[train]
epochs = 2
global_batch_size = 10
micro_batch_size = 4
device = "cpu"
precision = "fp32"
threads_per_rank = 1
[optim]
name = "sgd"
lr = 0.05
momentum = 0.9
[log]
interval_steps = 1
"#;

/// [`TINY`] with one of its lines replaced.
pub fn tiny_with(line: &str, other: &str) -> String {
    assert!(TINY.contains(line), "{line} is in the recipe");
    TINY.replacen(line, other, 1)
}

/// Makes an epoch take minutes, for tests that interrupt a run.
pub const ENDLESS: &str = "data.synthetic_train_images=200000";
