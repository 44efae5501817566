//! What is known before a run: of the job, of each host, of its ranks. Findings are drawn from this alone.

use std::path::PathBuf;

use regatta_run_folder::ProbeReport;
use regatta_settings::Device;
use serde::{Deserialize, Serialize};

/// Everything that was found. What could not be found is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Facts {
    pub(crate) job: Job,
    /// This host alone, or those that were named, in their order.
    pub(crate) hosts: Vec<HostFacts>,
    /// Why hosts that were named are missing above.
    pub(crate) hosts_problem: Option<String>,
    pub(crate) trainer: Trainer,
    pub(crate) mpirun: Option<Mpirun>,
    /// Why there is no mpirun.
    pub(crate) mpirun_problem: Option<String>,
    /// What the ranks measured.
    pub(crate) probe: Option<ProbeReport>,
    /// Why they measured nothing.
    pub(crate) probe_problem: Option<String>,
}

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Job {
    pub(crate) ranks: usize,
    /// Ranks on the host that takes most of them.
    pub(crate) ranks_per_host: usize,
    /// `train.device` of the recipe; `auto` without one.
    pub(crate) device: Device,
    /// What the checkpoints take that are on disk at once. Without a recipe nothing is known of them.
    pub(crate) checkpoints_bytes: Option<u64>,
}

/// The binary and what it is linked with.
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
    /// The first line that it says of itself.
    pub(crate) version: String,
}

/// One host, as it sees itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostFacts {
    pub(crate) name: String,
    /// Its clock when this was read, in nanoseconds of unix time.
    pub(crate) clock_ns: u64,
    /// By how much its clock is ahead of the first host's, in seconds; of several with ranks that did not tell, at least.
    #[serde(default)]
    pub(crate) clock_apart_s: f64,
    pub(crate) cores: usize,
    pub(crate) nvidia: Nvidia,
    pub(crate) interfaces: Vec<Interface>,
    /// Devices of InfiniBand and RoCE.
    pub(crate) infiniband: Vec<String>,
    /// /dev/shm.
    pub(crate) shared_memory: Option<Space>,
    pub(crate) open_files: Limit,
    pub(crate) locked_memory_bytes: Limit,
    pub(crate) run_folder: Storage,
    /// None where the recipe reads no files.
    pub(crate) data: Option<DataSet>,
}

/// What there is of NVIDIA's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Nvidia {
    /// GPUs on the PCI bus, driver or not.
    pub(crate) on_the_bus: usize,
    /// The driver's version, where it is loaded.
    pub(crate) driver: Option<String>,
    /// Those that the driver lists, by PCI address.
    pub(crate) gpus: Vec<Gpu>,
    /// Why the driver's device files cannot be used.
    pub(crate) device_problem: Option<String>,
}

/// A GPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gpu {
    pub(crate) pci_bus_id: String,
    pub(crate) model: String,
    /// The processor socket, or part of one, that it hangs on.
    pub(crate) numa_node: Option<u32>,
}

/// A network interface other than the loopback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) is_up: bool,
    pub(crate) megabit_per_second: Option<u64>,
}

/// Size of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Space {
    pub(crate) total_bytes: u64,
    pub(crate) free_bytes: u64,
}

/// A limit of this process; none is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limit {
    pub(crate) soft: Option<u64>,
    pub(crate) hard: Option<u64>,
}

/// Where runs go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Storage {
    /// As the recipe says it.
    pub(crate) path: PathBuf,
    pub(crate) space: Option<Space>,
    /// Measured with a file that is gone again, made durable.
    pub(crate) written_mib_per_second: Option<f64>,
    /// Why nothing can be written there.
    pub(crate) problem: Option<String>,
}

/// The files of the recipe's data set that were looked at: the first and the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DataSet {
    pub(crate) folder: PathBuf,
    pub(crate) files: Vec<DataFile>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DataFile {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// Why it cannot be read.
    pub(crate) problem: Option<String>,
}
