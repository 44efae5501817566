//! `[train]`: its keys, how unset ones are resolved, and their checks.

use regatta_anynet::MAX_BATCH;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::{Device, EmaWarmup, Loss, MemoryFormat, Precision};
use crate::interval::{AT_LEAST_ZERO, BELOW_ONE, Checked};
use crate::place::Places;

/// `[train]`: training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSettings {
    /// Number of passes over the training images. Required: a number of epochs, at least 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub epochs: u64,
    /// Images per optimizer step, over all ranks. Required: a number of images, at least 1.
    #[schemars(range(min = 1, max = MAX_BATCH))]
    pub global_batch_size: usize,
    /// Images per forward and backward pass; BatchNorm statistics are computed over these. Default:
    /// ceil(global_batch_size / world size) at the run's first start, kept on resume.
    #[schemars(range(min = 1, max = MAX_BATCH))]
    pub micro_batch_size: usize,
    /// Whether to drop the last batch of an epoch if it is smaller than the others. Default: false.
    pub drop_last: bool,
    /// Number of optimizer steps after which the run ends early. Default: unset, all epochs.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Seed for initial weights, image order and augmentation. Default: 0.
    #[schemars(range(min = 0, max = i64::MAX))]
    pub seed: u64,
    /// Fraction of the target probability spread evenly over all classes, 0 to below 1. Default: 0.0.
    pub label_smoothing: f64,
    /// Loss of training: "cross_entropy", or "bce", the binary cross-entropy of every class (Wightman et al. 2021).
    /// Evaluation always reports the cross-entropy. Default: "cross_entropy".
    pub loss: Loss,
    /// Whether the binary cross-entropies of an image's classes are summed, as in Composer; otherwise their mean is taken
    /// (bce only). Default: false.
    pub bce_sum_classes: bool,
    /// Targets above this value become 1 and the others 0, after mixing and label smoothing, 0 to below 1 (bce only).
    /// Default: unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bce_target_threshold: Option<f64>,
    /// Device to train on: "auto" selects CUDA if a CUDA device is available and the CPU otherwise. Default: "auto".
    pub device: Device,
    /// Element type of the forward and backward pass: "auto" selects bf16 on a GPU, and on a CPU with native bf16 if a
    /// measurement at the run's first start finds it at least 1.3 times as fast; otherwise, and in a deterministic run,
    /// fp32. fp64 is the reference precision. Default: "auto".
    pub precision: Precision,
    /// Memory layout of images and convolution weights: "auto" times both at the run's first start, together with the
    /// precision if that is "auto" too, and keeps the faster one; in a deterministic run it selects channels_last.
    /// Default: "channels_last".
    pub memory_format: MemoryFormat,
    /// Whether a GPU may round the inputs of fp32 matrix products and convolutions to TF32 (10 bits of precision), which
    /// is several times as fast. Default: true.
    pub tf32: bool,
    /// Whether cuDNN times its algorithms for each new shape and uses the fastest, which makes steps faster and the start
    /// some seconds slower. Off in a deterministic run. Default: true.
    pub cudnn_benchmark: bool,
    /// Whether a GPU records the training step once as CUDA graphs and then replays it; has an effect only with one rank
    /// and without dropout. Default: true.
    pub cuda_graph: bool,
    /// Number of compute threads of each rank; 0 means the host's cores divided by its ranks. Default: 0.
    #[schemars(range(min = 0, max = 4096))]
    pub threads_per_rank: usize,
    /// Whether to use only deterministic kernels (slower on a GPU). Default: false.
    pub deterministic: bool,
    /// Maximum global L2 norm of the gradient; larger gradients are scaled down to it. 0 disables clipping. Default: 0.0.
    pub clip_grad_norm: f64,
    /// Decay of the exponential moving average of weights and BatchNorm statistics at each of its updates, 0 to below 1;
    /// 0 disables the average unless `ema_half_life_steps` is set. Default: 0.0.
    pub ema_decay: f64,
    /// Number of optimizer steps between updates of the moving average; the first step of every epoch updates it.
    /// Default: 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub ema_interval_steps: u64,
    /// Number of optimizer steps after which a step's weights count half in the moving average, in place of `ema_decay`.
    /// Default: unset.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_half_life_steps: Option<u64>,
    /// Whether 1 - `ema_decay` is multiplied by `global_batch_size` times `ema_interval_steps` divided by
    /// `schedule.epochs` (up to 1), as in torchvision's references and pycls. Default: false.
    pub ema_scale_by_batch: bool,
    /// Start of the moving average: "none" averages from the initial weights on, "copy" copies the weights until
    /// `schedule.warmup_epochs` are over, "ramp" limits the decay to (1 + n) / (10 + n) after n updates. Default: "none".
    pub ema_warmup: EmaWarmup,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            epochs: 0,
            global_batch_size: 0,
            micro_batch_size: 0,
            drop_last: false,
            max_steps: None,
            seed: 0,
            label_smoothing: 0.0,
            loss: Loss::CrossEntropy,
            bce_sum_classes: false,
            bce_target_threshold: None,
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
            ema_interval_steps: 1,
            ema_half_life_steps: None,
            ema_scale_by_batch: false,
            ema_warmup: EmaWarmup::None,
        }
    }
}

impl TrainSettings {
    /// Fills in an unset micro-batch size: with that of `kept`, the settings of the run that is resumed, if its global batch
    /// size is the same, and otherwise with one rank's share of the global batch in a world of `world_size`.
    pub(crate) fn resolve(self, world_size: usize, kept: Option<&Self>) -> Self {
        let kept = kept.filter(|kept| kept.global_batch_size == self.global_batch_size);
        let micro_batch_size = match self.micro_batch_size {
            0 => kept.map_or(self.global_batch_size.div_ceil(world_size), |kept| kept.micro_batch_size),
            images => images,
        };
        Self { micro_batch_size, ..self }
    }

    /// Rejects values out of their range, and keys of another loss.
    pub(crate) fn check(&self, places: &Places) -> Checked {
        places.require_in(&BELOW_ONE, "train.label_smoothing", self.label_smoothing)?;
        if let Some(threshold) = self.bce_target_threshold {
            places.require_in(&BELOW_ONE, "train.bce_target_threshold", threshold)?;
        }
        if self.loss != Loss::Bce {
            let is_set = [
                ("train.bce_sum_classes", self.bce_sum_classes),
                ("train.bce_target_threshold", self.bce_target_threshold.is_some()),
            ];
            let keys = is_set.into_iter().filter_map(|(key, is_set)| is_set.then_some(key));
            places.refuse_typed(keys, "train.loss", r#""bce""#)?;
        }
        places.require_in(&BELOW_ONE, "train.ema_decay", self.ema_decay)?;
        places.require_in(&AT_LEAST_ZERO, "train.clip_grad_norm", self.clip_grad_norm)
    }

    /// Returns whether the run keeps a moving average of its weights.
    pub fn keeps_average(&self) -> bool {
        self.ema_decay > 0.0 || self.ema_half_life_steps.is_some()
    }

    /// Rejects keys of the moving average that contradict each other, or have no effect; the learning rate rises for
    /// `warmup_epochs`.
    pub(crate) fn check_average(&self, warmup_epochs: f64, places: &Places) -> Checked {
        if let (Some(steps), true) = (self.ema_half_life_steps, self.ema_decay > 0.0) {
            let problem = format!(
                "train.ema_half_life_steps = {steps} and train.ema_decay = {:?} both say how fast the moving average \
                 forgets: keep only one",
                self.ema_decay
            );
            return Err(places.conflict("train.ema_half_life_steps", problem));
        }
        if !self.keeps_average() {
            return self.check_no_average(places);
        }
        if self.ema_scale_by_batch && self.ema_decay == 0.0 {
            let problem = "train.ema_scale_by_batch = true scales train.ema_decay, which is not set: set it in place of \
                           train.ema_half_life_steps, or leave train.ema_scale_by_batch out";
            return Err(places.conflict("train.ema_scale_by_batch", problem.to_owned()));
        }
        if self.ema_warmup == EmaWarmup::Copy && warmup_epochs == 0.0 {
            let problem = "train.ema_warmup = \"copy\" copies the weights while the learning rate warms up, but \
                           schedule.warmup_epochs = 0.0: set it above 0, or train.ema_warmup to \"none\" or \"ramp\"";
            return Err(places.conflict("train.ema_warmup", problem.to_owned()));
        }
        Ok(())
    }

    /// Rejects keys of the moving average if there is none.
    fn check_no_average(&self, places: &Places) -> Checked {
        let set = [
            ("train.ema_interval_steps", self.ema_interval_steps > 1),
            ("train.ema_scale_by_batch", self.ema_scale_by_batch),
            ("train.ema_warmup", self.ema_warmup != EmaWarmup::None),
        ];
        match set.into_iter().find(|(_, is_set)| *is_set) {
            Some((key, _)) => Err(places.conflict(
                key,
                format!(
                    "{key} is set, but the run keeps no moving average: set train.ema_decay or \
                     train.ema_half_life_steps, or leave it out"
                ),
            )),
            None => Ok(()),
        }
    }
}
