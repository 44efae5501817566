//! Connects the ranks: joins the MPI world, starts the watchdog, and starts NCCL if the ranks compute on GPUs.

use std::time::Duration;

use anyhow::{Context, Result};
use nccl::{Nccl, UniqueId};
use regatta_comm::{CommError, Launch, World, verify_one_gpu_per_rank};
use regatta_run_folder::ExitCode;
use regatta_settings as settings;
use regatta_torch_ext::pci_bus_id;
use tch::Device;

use crate::failure::{Usage, end_with, report_watchdog_error, together};

/// Joins the world that the launcher started, runs `work` in it and finalizes it. An error of `work` ends the job without
/// finalizing: the rank would wait in MPI_Finalize for peers that wait for it.
///
/// # Errors
/// A world that cannot be joined.
pub(crate) fn in_world(
    comm: settings::CommSettings,
    launch: &Launch,
    work: impl FnOnce(&World) -> Result<ExitCode>,
) -> Result<ExitCode> {
    // The recipe is checked later, which rejects a value that is no duration.
    let timeout = Duration::try_from_secs_f64(comm.timeout_s).unwrap_or(Duration::MAX);
    let world = World::join(comm.backend, launch, timeout, report_watchdog_error)?;
    let rank = world.rank();
    let code = work(&world).unwrap_or_else(|error| end_with(&error, rank));
    world.finish(code.code()).context("cannot shut down NCCL").unwrap_or_else(|error| end_with(&error, rank));
    Ok(code)
}

/// Opens NCCL if the recipe requires it, or leaves the choice and every rank has a GPU of its own. Does not start it. A
/// collective.
///
/// # Errors
/// On all ranks together: a backend that does not fit the devices, GPUs shared by ranks, or no usable NCCL library.
pub(crate) fn choose_nccl(world: &World, backend: settings::Backend, device: Device) -> Result<Option<Nccl>> {
    let gpu = match device {
        Device::Cuda(gpu) => Some(pci_bus_id(gpu)?),
        _ => None,
    };
    let on_gpus = together(verify_one_gpu_per_rank(world, gpu.as_deref()).map_err(Into::into), world)?;
    let has_peers = world.world_size() > 1;
    let takes_nccl = match backend {
        settings::Backend::Auto => on_gpus && has_peers,
        settings::Backend::Nccl => true,
        settings::Backend::Mpi | settings::Backend::Single => false,
    };
    if takes_nccl {
        return together(open_nccl(on_gpus), world).map(Some);
    }
    if has_peers && on_gpus {
        let why = "comm.backend = \"mpi\" sums host memory, but the ranks compute on GPUs: set it to \"auto\" or \
                   \"nccl\", or train.device to \"cpu\"";
        return together(Err(Usage(why.into()).into()), world);
    }
    Ok(None)
}

/// Checks that compressed gradients are reduced over NCCL: MPI has no bfloat16, so it would save no bytes.
///
/// # Errors
/// Compression with several ranks over MPI.
pub(crate) fn check_compression(world: &World, comm: &settings::CommSettings, over_nccl: bool) -> Result<()> {
    let compresses = comm.gradient_compression != settings::GradientCompression::None;
    if compresses && world.world_size() > 1 && !over_nccl {
        let why = "comm.gradient_compression = \"bf16\" is for ranks that sum over NCCL, and these sum over MPI: set it to \
                   \"none\"";
        return Err(Usage(why.into()).into());
    }
    Ok(())
}

fn open_nccl(on_gpus: bool) -> Result<Nccl> {
    let nccl = Nccl::open().map_err(|error| {
        let remedy = "NCCL_LIBRARY names a library; pip's torch brings one";
        Usage(format!("NCCL is needed between these ranks: {error} ({remedy})"))
    })?;
    if !on_gpus && !nccl.takes_host_memory() {
        let why = "comm.backend = \"nccl\" needs a GPU for each rank, but this run computes on CPUs: set it to \"auto\" or \
                   \"mpi\", or train.device to \"cuda\"";
        return Err(Usage(why.into()).into());
    }
    Ok(nccl)
}

/// Starts NCCL between the ranks of `world`, if it was chosen. A collective.
///
/// # Errors
/// NCCL that fails to start, or not before the deadline.
pub(crate) fn start_nccl(nccl: Option<&Nccl>, world: &World, device: Device) -> Result<()> {
    let Some(nccl) = nccl else { return Ok(()) };
    // Only rank 0 creates an id, since each one keeps a thread and a socket open for the ranks that join.
    let made =
        if world.rank() == 0 { nccl.unique_id().map_err(CommError::from) } else { Ok(UniqueId([0; 128])) };
    let mut id = together(made.context("cannot start NCCL"), world)?;
    world.broadcast(&mut id.0);
    let started = world.start_nccl(nccl, &id, device);
    let is_late = matches!(started, Err(CommError::Nccl(nccl::Error::Deadline { .. })));
    let started = started.context("cannot start NCCL");
    // All ranks reach the deadline together. A rank that fails for another reason ends the job at once: its peers wait for
    // it inside NCCL and cannot take part in another collective.
    if started.is_ok() || is_late {
        together(started, world)?
    } else {
        started?
    };
    world.watch_nccl();
    Ok(())
}
