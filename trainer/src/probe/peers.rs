//! What each rank is, told to all.

use std::time::{SystemTime, UNIX_EPOCH};

use regatta_comm::Communicator;
use regatta_run_folder::{ProbedRank, host_name};

/// All ranks, in order. A collective.
pub(super) fn peers(world: &dyn Communicator, device: &str, gpu: Option<&str>) -> Vec<ProbedRank> {
    /// Longer than any rank's line.
    const LENGTH: usize = 1024;
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
    let mut line = serde_json::to_vec(&own).expect("numbers and strings always have a JSON form");
    line.resize(LENGTH, b' ');
    let peer = |bytes: Vec<u8>| serde_json::from_slice(&bytes).expect("a rank of this program wrote it");
    world.all_gather(&line).into_iter().map(peer).collect()
}
