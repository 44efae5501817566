//! The records in `metrics.jsonl`, which report the steps and epochs of a run. All code that writes or reads records uses these
//! types.

use serde::{Deserialize, Deserializer, Serialize};

/// A line of `metrics.jsonl`: a flat JSON object whose `kind` tells the two records apart.
///
/// Numbers that are not finite are written as `null`. A measured number that is `null` or missing, as in the files of older
/// versions, is read as NaN.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// Written every `log.interval_steps`.
    Step(StepRecord),
    /// Written at the end of every epoch.
    Epoch(EpochRecord),
}

/// The steps since the previous step record.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Number of the epoch, counted from 1.
    pub epoch: u64,
    /// Steps done since the beginning of the run.
    pub step: u64,
    /// Images consumed since the beginning of the run.
    pub images: u64,
    /// Mean training loss over the images of the interval.
    #[serde(default = "nan", deserialize_with = "number")]
    pub loss: f64,
    /// Fraction of the interval's training images that were classified correctly.
    #[serde(default = "nan", deserialize_with = "number")]
    pub top1: f64,
    /// Training images of the interval that could not be read and were replaced; none where such images end the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_images: Option<u64>,
    /// Learning rate of the last step.
    #[serde(default = "nan", deserialize_with = "number")]
    pub lr: f64,
    /// L2 norm of the gradient of all trained parameters in the last step, summed over ranks and before clipping; none in
    /// files of older versions and where it was not finite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
    /// Loss scale after the last step; none unless the precision is fp16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Training images per second on all ranks together.
    #[serde(default = "nan", deserialize_with = "number")]
    pub images_per_second: f64,
    /// Seconds since the process started.
    #[serde(default = "nan", deserialize_with = "number")]
    pub seconds_since_start: f64,
    /// Seconds from the start of the process to the end of its first step.
    #[serde(default = "nan", deserialize_with = "number")]
    pub seconds_to_first_step: f64,
    /// Seconds per step spent waiting for images. This and the phases below are means over the interval, of which the median
    /// over the ranks is taken.
    #[serde(default = "nan", deserialize_with = "number")]
    pub seconds_data: f64,
    /// Seconds per step for the host-to-device copy of images.
    #[serde(default = "nan", deserialize_with = "number")]
    pub seconds_copy: f64,
    /// Seconds per step for the forward pass.
    #[serde(default = "nan", deserialize_with = "number")]
    pub seconds_forward: f64,
    /// Seconds per step for the backward pass.
    #[serde(default = "nan", deserialize_with = "number")]
    pub seconds_backward: f64,
    /// Seconds per step for the part of the all-reduce that does not overlap with computation.
    #[serde(default = "nan", deserialize_with = "number")]
    pub seconds_exposed_comm: f64,
    /// Seconds per step for the update of the parameters.
    #[serde(default = "nan", deserialize_with = "number")]
    pub seconds_optimizer: f64,
    /// The rank whose own work took longest.
    pub slowest_rank: Option<usize>,
    /// Largest resident memory of a process so far, in MiB: the largest of all ranks.
    #[serde(default = "nan", deserialize_with = "number")]
    pub peak_rss_mib: f64,
    /// Largest memory allocated on rank 0's GPU so far, in MiB; none on a CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_device_mib: Option<f64>,
    /// What rank 0's GPU measures of itself; nothing on a CPU.
    #[serde(flatten)]
    pub gpu: GpuFacts,
}

/// Sensors of a GPU, read once. Those that it does not have are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GpuFacts {
    /// Fraction of the driver's last sampling period, at most a second, during which the GPU was computing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_utilization: Option<f64>,
    /// Memory in use on the GPU, by all processes, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_memory_mib: Option<f64>,
    /// Power in W.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_power_w: Option<f64>,
    /// Temperature in degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_temperature_c: Option<f64>,
    /// Clock of the multiprocessors in MHz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_clock_mhz: Option<f64>,
}

/// One epoch and its evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Number of the epoch, counted from 1.
    pub epoch: u64,
    /// Steps done since the beginning of the run.
    pub step: u64,
    /// Images consumed since the beginning of the run.
    pub images: u64,
    /// Mean loss over the epoch's training images.
    #[serde(default = "nan", deserialize_with = "number")]
    pub train_loss: f64,
    /// Fraction of the epoch's training images that were classified correctly, each by the weights before its step.
    #[serde(default = "nan", deserialize_with = "number")]
    pub train_top1: f64,
    /// Images of the epoch and of its evaluation that could not be read and were replaced; none where such images end the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_images: Option<u64>,
    /// Mean loss over the validation images; none if the epoch was not evaluated. With a moving average of the weights, this
    /// and the next two fields are those of the average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_loss: Option<f64>,
    /// Top-1 accuracy: fraction of the validation images that are classified correctly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_top1: Option<f64>,
    /// Top-5 accuracy: fraction of the validation images whose class is among the five most probable ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_top5: Option<f64>,
    /// `val_top1` of the weights themselves, if there is a moving average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_raw_top1: Option<f64>,
    /// Training images per second on all ranks together, excluding the evaluation.
    #[serde(default = "nan", deserialize_with = "number")]
    pub images_per_second: f64,
    /// Seconds that training took, excluding the evaluation.
    #[serde(default = "nan", deserialize_with = "number")]
    pub seconds: f64,
    /// Largest resident memory of a process so far, in MiB: the largest of all ranks.
    #[serde(default = "nan", deserialize_with = "number")]
    pub peak_rss_mib: f64,
}

impl Record {
    /// Returns the number of steps done when it was written.
    pub fn steps_done(&self) -> u64 {
        match self {
            Self::Step(record) => record.step,
            Self::Epoch(record) => record.step,
        }
    }

    /// Returns the step record, if it is one.
    pub fn step(self) -> Option<StepRecord> {
        match self {
            Self::Step(record) => Some(record),
            Self::Epoch(_) => None,
        }
    }

    /// Returns the epoch record, if it is one.
    pub fn epoch(self) -> Option<EpochRecord> {
        match self {
            Self::Epoch(record) => Some(record),
            Self::Step(_) => None,
        }
    }
}

pub(crate) fn nan() -> f64 {
    f64::NAN
}

pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
