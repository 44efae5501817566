//! Which device a rank computes on, in which element type, with how many threads.

use anyhow::{Context, Result, bail};
use regatta_comm::{Communicator, Launch, cpu_share};
use regatta_settings::{self as settings, Precision, TrainSettings};
use regatta_torch_ext::{AutocastKind, CudaError, open_cuda, set_deterministic};
use tch::{Device, Kind};

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
    if world.world_size() > 1 {
        bail!(crate::failure::Usage(
            "several ranks on GPUs need NCCL, which this version does not have yet: start one rank, or set \
             train.device = \"cpu\""
                .into()
        ));
    }
    assert!(world.local_rank() < devices);
    Ok(Device::Cuda(world.local_rank()))
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
    (precision == Precision::Bf16).then_some(AutocastKind::Bf16)
}
