//! One GPU for each rank, agreed on before NCCL is asked.

use regatta_run_folder::host_name;

use crate::{CommError, Communicator};

/// Whether the ranks compute on GPUs, of which each has its own; `gpu` is this rank's, by its address on the PCI bus, none
/// for a CPU. A collective, with the same answer on all ranks.
pub fn every_rank_has_its_own(world: &dyn Communicator, gpu: Option<&str>) -> Result<bool, CommError> {
    /// Longer than a host's name and an address.
    const LENGTH: usize = 256;
    let mut line = gpu.map_or_else(String::new, |gpu| format!("{}\n{gpu}", host_name())).into_bytes();
    line.resize(LENGTH, 0);
    let lines = world.all_gather(&line);
    let places: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
    let places: Vec<_> = places.iter().map(|place| place.trim_end_matches('\0')).collect();
    check(&places)
}

/// `places` has each rank's host and GPU, or nothing.
fn check(places: &[&str]) -> Result<bool, CommError> {
    let (gpu, cpu): (Vec<_>, Vec<_>) = (0..places.len()).partition(|&rank| !places[rank].is_empty());
    if gpu.is_empty() {
        return Ok(false);
    }
    if !cpu.is_empty() {
        return Err(CommError::MixedDevices { gpu, cpu });
    }
    for (rank, place) in places.iter().enumerate() {
        if let Some(other) = places[..rank].iter().position(|before| before == place) {
            let (host, gpu) = place.split_once('\n').unwrap_or_default();
            return Err(CommError::SharedGpu { ranks: (other, rank), host: host.into(), gpu: gpu.into() });
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_not_shared_and_not_mixed_with_cpus() {
        let told = |places: &[&str]| check(places).map_err(|error| error.to_string());
        assert_eq!(told(&["", ""]), Ok(false));
        assert_eq!(told(&["a\n0000:01:00.0", "a\n0000:02:00.0", "b\n0000:01:00.0"]), Ok(true));
        let text = "ranks 0 and 2 share GPU 0000:01:00.0 on a: start at most one rank for each GPU there (and see \
                    CUDA_VISIBLE_DEVICES)";
        assert_eq!(told(&["a\n0000:01:00.0", "a\n0000:02:00.0", "a\n0000:01:00.0"]), Err(text.into()));
        let text = "ranks [1] compute on GPUs and ranks [0] on CPUs: set train.device to \"cuda\" or \"cpu\" for all";
        assert_eq!(told(&["", "a\n0000:01:00.0"]), Err(text.into()));
    }
}
