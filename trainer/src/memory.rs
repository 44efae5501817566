//! Peak memory: resident memory over all ranks, and this rank's GPU memory.

use anyhow::Result;
use regatta_comm::World;
use regatta_torch_ext::peak_device_bytes;
use tch::Device;

/// Returns the largest peak resident memory over the ranks, in MiB. A collective.
///
/// # Errors
/// A failed collective.
pub(crate) fn peak_rss_mib(world: &World) -> Result<f64> {
    let largest = world.gather(&own_peak_kib())?.into_iter().max().unwrap_or(0);
    Ok((largest / 1024) as f64)
}

/// Returns the peak memory of tensors on this rank's GPU, in MiB; `None` on a CPU.
///
/// # Errors
/// Device errors.
pub(crate) fn peak_device_mib(device: Device) -> Result<Option<f64>> {
    let Device::Cuda(gpu) = device else { return Ok(None) };
    Ok(Some(peak_device_bytes(gpu)? as f64 / f64::from(1 << 20)))
}

/// Reads `VmHWM` from /proc/self/status, in KiB; 0 if there is no such file.
fn own_peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_peak() {
        assert!(own_peak_kib() > 1024);
        assert!(peak_rss_mib(&World::alone()).unwrap() >= 1.0);
    }
}
