//! The facts collected about a job, its hosts and its ranks. Findings depend on nothing else.

use std::path::PathBuf;

use regatta_run_folder::ProbeReport;
use regatta_settings::Device;
use serde::{Deserialize, Serialize};

/// All facts. Those that could not be determined are absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Facts {
    pub(crate) job: JobFacts,
    /// This host, or those that were named, in their order.
    pub(crate) hosts: Vec<HostFacts>,
    /// Why facts of the named hosts are missing.
    pub(crate) hosts_problem: Option<String>,
    pub(crate) trainer: Trainer,
    pub(crate) mpirun: Option<Mpirun>,
    /// Why there is no mpirun.
    pub(crate) mpirun_problem: Option<String>,
    /// Measurements of the ranks.
    pub(crate) probe: Option<ProbeReport>,
    /// Why there are no measurements.
    pub(crate) probe_problem: Option<String>,
}

/// The job to run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct JobFacts {
    pub(crate) ranks: usize,
    /// Ranks on the host with the most ranks.
    pub(crate) ranks_per_host: usize,
    /// `train.device` of the recipe; `auto` without one.
    pub(crate) device: Device,
    /// Bytes of all checkpoints that are on disk at the same time. None without a recipe.
    pub(crate) checkpoints_bytes: Option<u64>,
}

/// The trainer binary and the libraries that it is linked with.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Trainer {
    pub(crate) path: PathBuf,
    pub(crate) libtorch: Option<PathBuf>,
    pub(crate) libtorch_version: Option<String>,
    pub(crate) mpi: Option<PathBuf>,
    /// The major version of CUDA that libtorch was built for.
    pub(crate) cuda_major: Option<u32>,
    pub(crate) missing_libraries: Vec<String>,
}

/// The program that starts ranks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Mpirun {
    pub(crate) path: PathBuf,
    /// The first line of `mpirun --version`.
    pub(crate) version: String,
}

/// Facts that a host reports about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostFacts {
    pub(crate) name: String,
    /// The host's clock when the facts were read, in nanoseconds of Unix time.
    pub(crate) clock_ns: u64,
    /// Seconds by which the host's clock is ahead of the first host's. A lower bound if ranks did not report their clocks.
    #[serde(default)]
    pub(crate) clock_apart_s: f64,
    pub(crate) cores: usize,
    pub(crate) nvidia: Nvidia,
    pub(crate) interfaces: Vec<Interface>,
    /// Names of InfiniBand and RoCE devices.
    pub(crate) infiniband: Vec<String>,
    /// Size of /dev/shm.
    pub(crate) shared_memory: Option<Space>,
    pub(crate) open_files: Limit,
    pub(crate) locked_memory_bytes: Limit,
    pub(crate) run_folder: Storage,
    /// None if the recipe reads no files.
    pub(crate) data: Option<DataSet>,
}

/// NVIDIA GPUs and their driver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Nvidia {
    /// Number of GPUs on the PCI bus, with or without a driver.
    pub(crate) on_the_bus: usize,
    /// The version of the driver, if it is loaded.
    pub(crate) driver: Option<String>,
    /// GPUs that the driver lists, sorted by PCI address.
    pub(crate) gpus: Vec<Gpu>,
    /// Why the driver's device files cannot be used.
    pub(crate) device_problem: Option<String>,
}

/// A GPU that the driver lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gpu {
    pub(crate) pci_bus_id: String,
    pub(crate) model: String,
    /// The NUMA node that the GPU is attached to.
    pub(crate) numa_node: Option<u32>,
}

/// A network interface other than the loopback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) is_up: bool,
    pub(crate) megabit_per_second: Option<u64>,
}

/// Size and free space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Space {
    pub(crate) total_bytes: u64,
    pub(crate) free_bytes: u64,
}

/// A resource limit of this process; None is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limit {
    pub(crate) soft: Option<u64>,
    pub(crate) hard: Option<u64>,
}

/// The folder of the runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Storage {
    /// As given in the recipe.
    pub(crate) path: PathBuf,
    pub(crate) space: Option<Space>,
    /// Speed of durable writes, measured with a temporary file.
    pub(crate) written_mib_per_second: Option<f64>,
    /// Why the folder is not writable.
    pub(crate) problem: Option<String>,
}

/// The files of the recipe's data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DataSet {
    pub(crate) folder: PathBuf,
    pub(crate) files: Vec<DataFile>,
}

/// A file of the data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DataFile {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// Why the file cannot be used.
    pub(crate) problem: Option<String>,
}
