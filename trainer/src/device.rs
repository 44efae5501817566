//! Which device a rank computes on, in which element type, with how many threads.

use anyhow::{Context, Result};
use regatta_comm::{Communicator, Launch, cpu_share};
use regatta_settings::{self as settings, Precision, TrainSettings};
use regatta_torch_ext::{
    AutocastKind, CudaError, Stream, allow_tf32, open_cuda, set_deterministic, set_device,
};
use tch::{Device, Kind};

use crate::failure::Usage;

/// Opens the device that the recipe asks for. `auto` takes CUDA where the machine has it; a GPU that is there but cannot
/// be used is an error, never a silent run on the CPU.
pub(crate) fn open(asked: settings::Device, world: &dyn Communicator) -> Result<Device> {
    let devices = match (asked, open_if_asked(asked)) {
        (settings::Device::Cpu, _) | (settings::Device::Auto, Err(CudaError::NoDevice)) => {
            return Ok(Device::Cpu);
        }
        (settings::Device::Auto, devices) => devices.context("train.device = \"auto\" found a GPU")?,
        (settings::Device::Cuda, devices) => devices.context("train.device = \"cuda\"")?,
    };
    let device = Device::Cuda(gpu_of_rank(world.local_rank(), world.local_size(), devices)?);
    set_device(device)?;
    Ok(device)
}

/// Returns when all that this thread has queued on `device` is done.
pub(crate) fn wait_for(device: Device) -> Result<()> {
    if device != Device::Cpu {
        Stream::current(device)?.synchronize()?;
    }
    Ok(())
}

/// The GPU with the rank's number on its host, or the one that the scheduler left it to see.
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

/// Gives libtorch its threads and its choice of kernels; returns the number of threads. Comes before any tensor.
pub(crate) fn prepare(train: &TrainSettings, launch: &Launch, world: &dyn Communicator) -> Result<usize> {
    let share = cpu_share(launch, world.local_rank(), world.local_size());
    let threads = if train.threads_per_rank > 0 { train.threads_per_rank } else { share.cores.len() };
    tch::set_num_threads(threads as i32);
    set_deterministic(train.deterministic)?;
    allow_tf32(train.tf32)?;
    Ok(threads)
}

/// Replaces `auto` by bf16 where every rank's processor computes in it (or the device is a GPU), else by fp32: elsewhere
/// bf16 is emulated and several times slower.
pub(crate) fn choose_precision(asked: Precision, device: Device, world: &dyn Communicator) -> Precision {
    if asked != Precision::Auto {
        return asked;
    }
    let mut ranks_with_bf16 = [i64::from(device != Device::Cpu || processor_has_bf16())];
    world.all_reduce_counts(&mut ranks_with_bf16);
    if ranks_with_bf16 == [world.world_size() as i64] { Precision::Bf16 } else { Precision::Fp32 }
}

#[cfg(target_arch = "x86_64")]
fn processor_has_bf16() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
fn processor_has_bf16() -> bool {
    false
}

/// Element type of parameters, gradients and state.
pub(crate) fn kind(precision: Precision) -> Kind {
    if precision == Precision::Fp64 { Kind::Double } else { Kind::Float }
}

/// What forward is cast to.
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
    fn ranks_take_the_gpus_of_their_numbers() {
        let gpu =
            |local_rank, visible| gpu_of_rank(local_rank, 4, visible).map_err(|error| error.to_string());
        assert_eq!((gpu(0, 4), gpu(3, 4)), (Ok(0), Ok(3)));
        // Each task sees its own: srun --gpus-per-task=1.
        assert_eq!(gpu(3, 1), Ok(0));
        assert!(gpu(3, 2).unwrap_err().starts_with("4 ranks on this host, but only 2 GPUs are visible: "));
    }
}
