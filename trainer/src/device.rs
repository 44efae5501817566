//! Selects the device, element type and number of threads of a rank.

use std::path::Path;

use anyhow::{Context, Result};
use regatta_comm::{Launch, World, core_numbers, cpu_share};
use regatta_run_folder::host_name;
use regatta_settings::{self as settings, Precision, TrainSettings};
use regatta_torch_ext::{
    AutocastKind, CudaError, Stream, allow_tf32, benchmark_cudnn, open_cuda, pci_bus_id, set_deterministic,
    set_device,
};
use tch::{Device, Kind};

use crate::failure::Usage;

/// Opens the device that the recipe selects. `auto` takes CUDA if the machine has a GPU.
///
/// # Errors
/// A GPU that is present but cannot be used: training never falls back to the CPU silently. More ranks than GPUs.
pub(crate) fn open(asked: settings::Device, world: &World) -> Result<Device> {
    let devices = match (asked, open_if_asked(asked)) {
        (settings::Device::Cpu, _) | (settings::Device::Auto, Err(CudaError::NoDevice)) => {
            return Ok(Device::Cpu);
        }
        (settings::Device::Auto, devices) => devices.context("train.device = \"auto\" found a GPU")?,
        (settings::Device::Cuda, devices) => devices.context("train.device = \"cuda\"")?,
    };
    let device = Device::Cuda(gpu_of_rank(world.local_rank(), world.local_size(), devices)?);
    set_device(device)?;
    // CUDA graphs cannot be recorded on the default stream.
    Stream::from_pool(device, false)?.make_current()?;
    Ok(device)
}

/// `cpu`, or `cuda:0`.
pub(crate) fn name(device: Device) -> String {
    match device {
        Device::Cuda(gpu) => format!("cuda:{gpu}"),
        _ => "cpu".into(),
    }
}

/// Returns the value as it is written in a recipe.
pub(crate) fn recipe_value(choice: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(choice).ok();
    value.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

/// Waits until all work on the thread's current stream of `device` is done.
///
/// # Errors
/// Device errors.
pub(crate) fn wait_for(device: Device) -> Result<()> {
    if device != Device::Cpu {
        Stream::current(device)?.synchronize()?;
    }
    Ok(())
}

/// Returns the GPU with the rank's number on its host, or the only visible one, as a scheduler may have chosen it.
fn gpu_of_rank(local_rank: usize, local_size: usize, visible: usize) -> Result<usize, Usage> {
    match visible {
        1 => Ok(0),
        _ if local_rank < visible => Ok(local_rank),
        _ => Err(Usage(format!(
            "{local_size} ranks on this host, but only {visible} GPUs are visible: start at most one rank for each GPU"
        ))),
    }
}

fn open_if_asked(asked: settings::Device) -> Result<usize, CudaError> {
    if asked == settings::Device::Cpu { Err(CudaError::NoDevice) } else { open_cuda() }
}

/// Sets libtorch's threads, on cores near the GPU if there is one, and its choice of kernels. Returns the number of this
/// rank's cores. Call it before any tensor is created. A collective.
///
/// # Errors
/// Options that libtorch or the device rejects, and failed collectives.
pub(crate) fn prepare(
    train: &TrainSettings,
    device: Device,
    launch: &Launch,
    world: &World,
) -> Result<usize> {
    let near = match device {
        Device::Cuda(gpu) => cores_near(Path::new(PCI_DEVICES), &pci_bus_id(gpu)?),
        _ => String::new(),
    };
    let (number, of) = index_among_neighbors(world, &near)?;
    let share = cpu_share(launch, number, of, &core_numbers(&near));
    let threads = if train.threads_per_rank > 0 { train.threads_per_rank } else { share.cores.len() };
    tch::set_num_threads(threads as i32);
    set_deterministic(train.deterministic)?;
    benchmark_cudnn(train.cudnn_benchmark && !train.deterministic)?;
    allow_tf32(train.tf32)?;
    Ok(share.cores.len())
}

/// Folder in which Linux lists devices by PCI address.
const PCI_DEVICES: &str = "/sys/bus/pci/devices";

/// Returns the cores of the GPU's NUMA node in Linux's list format (`0-15,32-47`); empty if unknown.
fn cores_near(devices: &Path, pci_bus_id: &str) -> String {
    let list = std::fs::read_to_string(devices.join(pci_bus_id.to_lowercase()).join("local_cpulist"));
    list.map_or_else(|_| String::new(), |list| list.trim().to_owned())
}

/// Returns this rank's index among the ranks of its host that are near the same cores, and their number. Counts all ranks of the
/// host if `near` is empty. A collective.
fn index_among_neighbors(world: &World, near: &str) -> Result<(usize, usize)> {
    let own = (host_name(), near.to_owned());
    let ranks = world.gather(&own)?;
    if near.is_empty() {
        return Ok((world.local_rank(), world.local_size()));
    }
    let equals = |ranks: &[_]| ranks.iter().filter(|rank| **rank == own).count();
    Ok((equals(&ranks[..world.rank()]), equals(&ranks)))
}

/// Returns the element type of parameters, gradients and optimizer state.
pub(crate) fn kind(precision: Precision) -> Kind {
    if precision == Precision::Fp64 { Kind::Double } else { Kind::Float }
}

/// Returns the element type of the forward pass, if it differs from the parameters'.
pub(crate) fn autocast_kind(precision: Precision) -> Option<AutocastKind> {
    match precision {
        Precision::Bf16 => Some(AutocastKind::Bf16),
        Precision::Fp16 => Some(AutocastKind::Fp16),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cores_near_a_gpu_are_the_kernels_list() {
        let devices = tempfile::tempdir().unwrap();
        let device = devices.path().join("0000:3b:00.0");
        std::fs::create_dir(&device).unwrap();
        std::fs::write(device.join("local_cpulist"), "0-2,8\n").unwrap();
        let near = |address: &str| core_numbers(&cores_near(devices.path(), address));
        assert_eq!(near("0000:3B:00.0"), [0, 1, 2, 8]);
        assert_eq!(near("0000:5E:00.0"), Vec::<usize>::new());
        assert_eq!(index_among_neighbors(&World::alone(), "0-2,8").unwrap(), (0, 1));
    }

    #[test]
    fn ranks_take_the_gpus_of_their_numbers() {
        let gpu =
            |local_rank, visible| gpu_of_rank(local_rank, 4, visible).map_err(|error| error.to_string());
        assert_eq!((gpu(0, 4), gpu(3, 4)), (Ok(0), Ok(3)));
        // Each task sees its own: srun --gpus-per-task=1.
        assert_eq!(gpu(3, 1), Ok(0));
        assert!(gpu(3, 2).unwrap_err().starts_with("4 ranks on this host, but only 2 GPUs are visible: "));
    }
}
