//! The keys of `[train]`, `[optim]` and `[schedule]`.

use regatta_anynet::MAX_BATCH;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::{Device, MemoryFormat, OptimizerName, Precision, ScheduleName};

/// `[train]`: the course of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawTrain {
    /// Passes over the training images. Required.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub epochs: Option<u64>,
    /// Images per optimizer step, over all ranks. Required.
    #[schemars(range(min = 1, max = MAX_BATCH))]
    pub global_batch_size: Option<usize>,
    /// Images per forward and backward pass; BatchNorm's statistics are taken over these. Default:
    /// ceil(global_batch_size / world size) at the run's first start, kept on resume.
    #[schemars(range(min = 1, max = MAX_BATCH))]
    pub micro_batch_size: Option<usize>,
    /// Whether the last, smaller batch of an epoch is left out. Default: false.
    pub drop_last: bool,
    /// Optimizer steps after which the run ends early. Default: unset, all epochs.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_steps: Option<u64>,
    /// Seed of initial weights, order and augmentation. Default: 0.
    #[schemars(range(min = 0, max = i64::MAX))]
    pub seed: u64,
    /// Share of the target spread evenly over all classes, 0 to below 1. Default: 0.0.
    pub label_smoothing: f64,
    /// The device: "auto" takes CUDA where there is one. Default: "auto".
    pub device: Device,
    /// Element type of forward and backward: "auto" is bf16 on a GPU, and on a processor that computes in it where a look at the
    /// run's first start finds it at least 1.3 times as fast; else, and in a deterministic run, fp32. fp64 is the reference
    /// precision. Default: "auto".
    pub precision: Precision,
    /// Layout of images and convolution weights in memory: "auto" times both at the run's first start, together with the
    /// precision where that is open, and keeps the faster one; in a deterministic run channels_last. Default: "channels_last".
    pub memory_format: MemoryFormat,
    /// Whether a GPU may round the inputs of fp32 products and convolutions to TF32 (10 bits of precision), which is
    /// several times as fast. Default: true.
    pub tf32: bool,
    /// Whether cuDNN times its algorithms for each new shape and takes the fastest: a faster step after a start that is some
    /// seconds longer. Off in a deterministic run. Default: true.
    pub cudnn_benchmark: bool,
    /// Whether a GPU's step is recorded once, as CUDA graphs, and then launched as a whole; with one rank and without dropout,
    /// elsewhere the key changes nothing. Default: true.
    pub cuda_graph: bool,
    /// Compute threads of each rank; 0 takes cores / ranks on this host. Default: 0.
    #[schemars(range(min = 0, max = 4096))]
    pub threads_per_rank: usize,
    /// Whether only deterministic kernels are used (slower on a GPU). Default: false.
    pub deterministic: bool,
    /// Largest global L2 norm of the gradient; larger ones are scaled down to it, 0 is off. Default: 0.0.
    pub clip_grad_norm: f64,
    /// Decay per step of the exponential moving average of the weights, 0 to below 1; 0 is off. Default: 0.0.
    pub ema_decay: f64,
}

impl Default for RawTrain {
    fn default() -> Self {
        Self {
            epochs: None,
            global_batch_size: None,
            micro_batch_size: None,
            drop_last: false,
            max_steps: None,
            seed: 0,
            label_smoothing: 0.0,
            device: Device::Auto,
            precision: Precision::Auto,
            memory_format: MemoryFormat::ChannelsLast,
            tf32: true,
            cudnn_benchmark: true,
            cuda_graph: true,
            threads_per_rank: 0,
            deterministic: false,
            clip_grad_norm: 0.0,
            ema_decay: 0.0,
        }
    }
}

/// `[optim]`: the optimizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawOptim {
    /// The update rule. Required.
    pub name: Option<OptimizerName>,
    /// Learning rate after the warm-up, for the global batch. Required.
    pub lr: Option<f64>,
    /// Momentum, 0 to below 1 (sgd only). Default: 0.0.
    pub momentum: f64,
    /// Whether the momentum is Nesterov's (sgd only). Default: false.
    pub nesterov: bool,
    /// Weight decay of convolution and classifier weights: L2 for sgd, decoupled for adamw. Default: 0.0.
    pub weight_decay: f64,
    /// Weight decay of BatchNorm's parameters and of biases. Default: 0.0.
    pub weight_decay_norm_bias: f64,
    /// Decay of the first moment, 0 to below 1 (adamw only). Default: 0.9.
    pub beta1: Option<f64>,
    /// Decay of the second moment, 0 to below 1 (adamw only). Default: 0.999.
    pub beta2: Option<f64>,
    /// Term added to the denominator (adamw only). Default: 1e-8.
    pub eps: Option<f64>,
}

impl Default for RawOptim {
    fn default() -> Self {
        Self {
            name: None,
            lr: None,
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
            weight_decay_norm_bias: 0.0,
            beta1: None,
            beta2: None,
            eps: None,
        }
    }
}

/// `[schedule]`: the learning rate over time, set anew at every step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawSchedule {
    /// The course after the warm-up. Default: "constant".
    pub name: ScheduleName,
    /// Epochs that the course spans: a run that is extended with `train.epochs` keeps it, and goes on at the rate that the
    /// course ends with, unless this is set anew. Default: train.epochs at the run's first start, kept on resume.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub epochs: Option<u64>,
    /// Length of the linear warm-up, in epochs; 0 is none. Default: 0.0.
    pub warmup_epochs: f64,
    /// Where the warm-up starts, as a fraction of `optim.lr`, 0 to 1. Default: 0.0.
    pub warmup_start_fraction: f64,
    /// Epochs at which the rate is multiplied by `gamma`, ascending (step only, and required there).
    /// Default: unset.
    pub milestones_epochs: Option<Vec<f64>>,
    /// Factor at each milestone, above 0 and at most 1 (step only). Default: 0.1.
    pub gamma: Option<f64>,
    /// Where the cosine ends, as a fraction of `optim.lr`, 0 to 1 (cosine only). Default: 0.0.
    pub final_lr_fraction: Option<f64>,
}

impl Default for RawSchedule {
    fn default() -> Self {
        Self {
            name: ScheduleName::Constant,
            epochs: None,
            warmup_epochs: 0.0,
            warmup_start_fraction: 0.0,
            milestones_epochs: None,
            gamma: None,
            final_lr_fraction: None,
        }
    }
}
