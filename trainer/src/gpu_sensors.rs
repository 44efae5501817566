//! Sensors of a GPU, read through NVIDIA's management library (NVML), which is loaded where there is one. It has not run on a GPU
//! yet.

use std::ffi::OsStr;

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use regatta_comm::World;
use regatta_run_folder::GpuFacts;
use regatta_torch_ext::pci_bus_id;
use tch::Device;

/// The library, which the driver brings.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// The sensors of one GPU.
#[derive(Debug)]
pub(crate) struct GpuSensors {
    nvml: Nvml,
    pci_bus_id: String,
}

impl GpuSensors {
    /// Finds the sensors of a device; none on a CPU, and none without the library.
    pub(crate) fn of(device: Device) -> Option<Self> {
        let Device::Cuda(gpu) = device else { return None };
        let pci_bus_id = pci_bus_id(gpu).ok()?;
        match Nvml::builder().lib_path(OsStr::new(LIBRARY)).init() {
            Ok(nvml) => Some(Self { nvml, pci_bus_id }),
            Err(error) => {
                tracing::debug!("no sensors of the GPU: {error}");
                None
            }
        }
    }

    /// Reads the sensors, of which a GPU need not have all.
    pub(crate) fn read(&self) -> GpuFacts {
        let Ok(gpu) = self.nvml.device_by_pci_bus_id(&*self.pci_bus_id) else { return GpuFacts::default() };
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        GpuFacts {
            gpu_utilization: gpu.utilization_rates().ok().map(|rates| f64::from(rates.gpu) / 100.0),
            gpu_memory_mib: gpu.memory_info().ok().map(|memory| mib(memory.used)),
            gpu_power_w: gpu.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1e3),
            gpu_temperature_c: gpu.temperature(TemperatureSensor::Gpu).ok().map(f64::from),
            gpu_clock_mhz: gpu.clock_info(Clock::SM).ok().map(f64::from),
        }
    }
}

/// Returns the sensors of rank 0's GPU, on rank 0.
pub(crate) fn sensors(world: &World, device: Device) -> Option<GpuSensors> {
    if world.rank() == 0 { GpuSensors::of(device) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_has_no_sensors() {
        assert!(GpuSensors::of(Device::Cpu).is_none());
    }
}
