//! The report of `trainer probe`: it is printed as JSON and read by `launcher doctor` and `launcher plan`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::record::GpuFacts;
use crate::schema::Schema;

/// Properties of a machine and its ranks, measured by rank 0. Fields that an older version did not measure are absent or have
/// their type's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// The version of this format.
    #[serde(default)]
    pub schema: Schema<1>,
    /// The trainer's version.
    pub version: String,
    /// libtorch's version.
    pub libtorch_version: Option<String>,
    /// The NCCL library that was loaded; none if there is none.
    pub nccl: Option<ProbedLibrary>,
    /// Number of ranks.
    pub world_size: usize,
    /// The library that performs collectives, with its version.
    pub backend: String,
    /// Rank 0's device.
    pub device: String,
    /// Address of rank 0's GPU on the PCI bus; none on a CPU.
    pub gpu_pci_bus_id: Option<String>,
    /// What rank 0's GPU measures of itself; nothing on a CPU.
    #[serde(default)]
    pub gpu: GpuFacts,
    /// GPUs that rank 0 can see; none on a CPU.
    pub visible_gpus: Option<i64>,
    /// Number of compute threads of each rank.
    #[serde(default)]
    pub threads: i32,
    /// Whether gradient hooks run on threads of the autograd engine, as on a GPU.
    #[serde(default)]
    pub hooks_run_on_engine_threads: bool,
    /// Timed all-reduces, by size; empty for a single rank.
    pub all_reduce: Vec<TimedSum>,
    /// The ranks, in order.
    #[serde(default)]
    pub ranks: Vec<ProbedRank>,
    /// Images per second that all ranks together assemble; none without a recipe.
    pub loader_images_per_second: Option<f64>,
    /// Complete steps of the recipe; none without `--steps`.
    pub step: Option<StepRate>,
    /// Seconds that finalizing NCCL's communicator took; none without one.
    pub nccl_finalize_seconds: Option<f64>,
}

/// A library that the trainer loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbedLibrary {
    /// Its version.
    pub version: String,
    /// Its file.
    pub path: PathBuf,
}

/// Timed all-reduces of one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedSum {
    /// Size of the buffer in bytes.
    pub bytes: u64,
    /// Whether the sum was correct on rank 0.
    pub correct: bool,
    /// Mean time of one all-reduce in microseconds.
    pub microseconds: f64,
    /// Bus bandwidth in 10^9 bytes per second: 2 (n - 1) / n of the buffer, which each rank's links carry, divided by the time.
    #[serde(default)]
    pub bus_gb_per_second: f64,
}

/// Placement of a rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbedRank {
    /// The rank.
    pub rank: usize,
    /// Name of its host.
    pub host: String,
    /// Its device.
    #[serde(default)]
    pub device: String,
    /// Address of its GPU on the PCI bus; none on a CPU.
    pub gpu_pci_bus_id: Option<String>,
    /// Number of its compute threads.
    #[serde(default)]
    pub threads: i32,
    /// Its host's clock just after a barrier, in seconds of Unix time: ranks read it within a millisecond of each other.
    pub clock_s: Option<f64>,
}

/// The rate of complete steps, including the all-reduce and the update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRate {
    /// Images per second on all ranks together.
    pub images_per_second: f64,
    /// Milliseconds per step.
    pub milliseconds: f64,
    /// Seconds from the first allocation to the end of the first step.
    pub seconds_to_first_step: f64,
    /// Precision of the steps.
    pub precision: String,
    /// Memory format of the steps.
    pub memory_format: String,
    /// Largest memory allocated on rank 0's GPU, in MiB; none on a CPU.
    pub peak_device_mib: Option<f64>,
}

impl ProbeReport {
    /// Parses the first report in `text`: ranks that did not find each other print one each.
    ///
    /// # Errors
    /// A description of what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        match serde_json::Deserializer::from_str(text).into_iter().next() {
            Some(report) => report.map_err(|error| error.to_string()),
            None => Err("there is nothing in it".to_owned()),
        }
    }
}
