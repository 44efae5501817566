//! What each rank is, told to all.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use regatta_comm::World;
use regatta_run_folder::host_name;
use serde::{Deserialize, Serialize};

/// One rank.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Peer {
    rank: usize,
    host: String,
    device: String,
    gpu_pci_bus_id: Option<String>,
    threads: i32,
    /// Its host's clock just after a barrier, in seconds of unix time: ranks read it within a millisecond of each other.
    clock_s: f64,
}

/// All ranks, in order. A collective.
pub(super) fn peers(world: &World, device: &str, gpu: Option<&str>) -> Result<Vec<Peer>> {
    world.barrier();
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let own = Peer {
        rank: world.rank(),
        host: host_name(),
        device: device.to_owned(),
        gpu_pci_bus_id: gpu.map(str::to_owned),
        threads: tch::get_num_threads(),
        clock_s: clock.as_secs_f64(),
    };
    Ok(world.gather(&own)?)
}
