//! One GPU for each rank, agreed on before NCCL is asked.

use regatta_run_folder::host_name;

use crate::{CommError, World};

/// Whether the ranks compute on GPUs, of which each has its own; `gpu` is this rank's, by its address on the PCI bus, none
/// for a CPU. A collective, with the same answer on all ranks.
pub fn every_rank_has_its_own(world: &World, gpu: Option<&str>) -> Result<bool, CommError> {
    check(&world.gather(&gpu.map(|gpu| (host_name(), gpu.to_owned())))?)
}

/// `places` has each rank's host and GPU, or none for a CPU.
fn check(places: &[Option<(String, String)>]) -> Result<bool, CommError> {
    let (gpu, cpu): (Vec<_>, Vec<_>) = (0..places.len()).partition(|&rank| places[rank].is_some());
    if gpu.is_empty() {
        return Ok(false);
    }
    if !cpu.is_empty() {
        return Err(CommError::MixedDevices { gpu, cpu });
    }
    let places: Vec<_> = places.iter().flatten().collect();
    for (rank, &place) in places.iter().enumerate() {
        if let Some(other) = places[..rank].iter().position(|before| *before == place) {
            let (host, gpu) = place.clone();
            return Err(CommError::SharedGpu { ranks: (other, rank), host, gpu });
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_not_shared_and_not_mixed_with_cpus() {
        let told = |places: &[_]| check(places).map_err(|error| error.to_string());
        let gpu = |host: &str, gpu| Some((host.to_owned(), format!("0000:0{gpu}:00.0")));
        assert_eq!(told(&[None, None]), Ok(false));
        assert_eq!(told(&[gpu("a", 1), gpu("a", 2), gpu("b", 1)]), Ok(true));
        let text = "ranks 0 and 2 share GPU 0000:01:00.0 on a: start at most one rank for each GPU there (and see \
                    CUDA_VISIBLE_DEVICES)";
        assert_eq!(told(&[gpu("a", 1), gpu("a", 2), gpu("a", 1)]), Err(text.into()));
        let text = "ranks [1] compute on GPUs and ranks [0] on CPUs: set train.device to \"cuda\" or \"cpu\" for all";
        assert_eq!(told(&[None, gpu("a", 1)]), Err(text.into()));
    }
}
