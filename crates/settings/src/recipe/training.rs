//! The resolved `[train]`, `[optim]` and `[schedule]`.

use serde::{Deserialize, Serialize};

use crate::choice::{Device, MemoryFormat, Precision};

/// The course of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSettings {
    /// Passes over the training images, at least 1.
    pub epochs: u64,
    /// Images per optimizer step over all ranks, at least 1.
    pub global_batch_size: usize,
    /// Images per forward and backward pass, from 1 to `global_batch_size`; every rank has at least one micro-batch
    /// of a whole global batch.
    pub micro_batch_size: usize,
    /// Whether the last, smaller batch of an epoch is left out.
    pub drop_last: bool,
    /// Optimizer steps after which the run ends early, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Seed of initial weights, order and augmentation.
    pub seed: u64,
    /// Share of the target spread evenly over all classes, in [0, 1).
    pub label_smoothing: f64,
    /// The device.
    pub device: Device,
    /// Element type of forward and backward.
    pub precision: Precision,
    /// Layout of images and convolution weights in memory.
    pub memory_format: MemoryFormat,
    /// Whether a GPU may round the inputs of fp32 products to TF32.
    pub tf32: bool,
    /// Whether cuDNN times its algorithms.
    pub cudnn_benchmark: bool,
    /// Whether a GPU's step is recorded and replayed where that is possible.
    pub cuda_graph: bool,
    /// Compute threads of each rank; 0 takes cores / ranks on this host.
    pub threads_per_rank: usize,
    /// Whether only deterministic kernels are used.
    pub deterministic: bool,
    /// Largest global L2 norm of the gradient; 0 is off.
    pub clip_grad_norm: f64,
    /// Decay per step of the weights' moving average, in [0, 1); 0 is off.
    pub ema_decay: f64,
}

/// The optimizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimSettings {
    /// The update rule with its own parameters.
    #[serde(flatten)]
    pub optimizer: Optimizer,
    /// Learning rate after the warm-up, above 0.
    pub lr: f64,
    /// Weight decay of convolution and classifier weights, at least 0.
    pub weight_decay: f64,
    /// Weight decay of BatchNorm's parameters and of biases, at least 0.
    pub weight_decay_norm_bias: f64,
}

/// An update rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Optimizer {
    /// Stochastic gradient descent with L2 weight decay.
    Sgd {
        /// Momentum, in [0, 1).
        momentum: f64,
        /// Whether the momentum, then above 0, is Nesterov's.
        nesterov: bool,
    },
    /// Adam with decoupled weight decay.
    AdamW {
        /// Decay of the first moment, in [0, 1).
        beta1: f64,
        /// Decay of the second moment, in [0, 1).
        beta2: f64,
        /// Term added to the denominator, above 0.
        eps: f64,
    },
}

/// The learning rate over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleSettings {
    /// The course after the warm-up.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// Epochs that the course spans, at least 1; after them the rate stays as it is.
    pub epochs: u64,
    /// Length of the linear warm-up in epochs, shorter than the course; 0 is none.
    pub warmup_epochs: f64,
    /// Where the warm-up starts, as a fraction of `optim.lr`, in [0, 1].
    pub warmup_start_fraction: f64,
}

/// A course of the learning rate after the warm-up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Schedule {
    /// Stays at `optim.lr`.
    Constant {},
    /// Is multiplied by `gamma` at each milestone.
    Step {
        /// Epochs, ascending, above 0 and below the course's length; at least one.
        milestones_epochs: Vec<f64>,
        /// The factor, in (0, 1].
        gamma: f64,
    },
    /// Half a cosine down to a fraction of `optim.lr`.
    Cosine {
        /// The fraction at the end of the course, in [0, 1].
        final_lr_fraction: f64,
    },
}
