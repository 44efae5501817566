//! The check that each rank has its own GPU, made before NCCL starts.

use regatta_run_folder::host_name;

use crate::{CommError, World};

/// Checks that either no rank uses a GPU or each rank has its own, and returns whether they use GPUs. `gpu` is the PCI address
/// of this rank's GPU, `None` for a CPU. A collective with the same result on all ranks.
///
/// # Errors
/// If two ranks share a GPU, or only some ranks have one.
pub fn verify_one_gpu_per_rank(world: &World, gpu: Option<&str>) -> Result<bool, CommError> {
    check(&world.gather(&gpu.map(|gpu| (host_name(), gpu.to_owned())))?)
}

/// `places` holds the host and GPU of each rank, `None` for a CPU.
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
        let result = |places: &[_]| check(places).map_err(|error| error.to_string());
        let gpu = |host: &str, gpu| Some((host.to_owned(), format!("0000:0{gpu}:00.0")));
        assert_eq!(result(&[None, None]), Ok(false));
        assert_eq!(result(&[gpu("a", 1), gpu("a", 2), gpu("b", 1)]), Ok(true));
        let text = "ranks 0 and 2 share GPU 0000:01:00.0 on a: start at most one rank for each GPU there (and see \
                    CUDA_VISIBLE_DEVICES)";
        assert_eq!(result(&[gpu("a", 1), gpu("a", 2), gpu("a", 1)]), Err(text.into()));
        let text = "ranks [1] compute on GPUs and ranks [0] on CPUs: set train.device to \"cuda\" or \"cpu\" for all";
        assert_eq!(result(&[None, gpu("a", 1)]), Err(text.into()));
    }
}
