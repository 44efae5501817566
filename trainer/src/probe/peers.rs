//! Host, device and clock of each rank, gathered on all ranks.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use regatta_comm::World;
use regatta_run_folder::{ProbedRank, host_name};

/// Returns all ranks, in order. A collective.
///
/// # Errors
/// A failed collective.
pub(super) fn peers(world: &World, device: &str, gpu: Option<&str>) -> Result<Vec<ProbedRank>> {
    world.barrier();
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let own = ProbedRank {
        rank: world.rank(),
        host: host_name(),
        device: device.to_owned(),
        gpu_pci_bus_id: gpu.map(str::to_owned),
        threads: tch::get_num_threads(),
        clock_s: Some(clock.as_secs_f64()),
    };
    Ok(world.gather(&own)?)
}
