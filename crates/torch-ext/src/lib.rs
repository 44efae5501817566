//! Functions of libtorch that tch lacks, through a small C++ shim: gradient hooks, setting `.grad`, autocast to an element
//! type, fused optimizer steps, memory formats, convolutions that stay in bounds, streams and events, CUDA graphs, and
//! loading libtorch_cuda.

use std::ffi::{CStr, c_int};

use tch::Device;

mod autocast;
mod convolution;
mod cuda;
mod cuda_graph;
mod ffi;
mod grad;
mod host_bytes;
mod malloc;
mod memory_format;
mod optim;
mod stream;

pub use autocast::{AutocastKind, autocast};
pub use convolution::{conv2d, overruns};
pub use cuda::{CudaError, open_cuda, pci_bus_id};
pub use cuda_graph::CudaGraph;
pub use ffi::TorchError;
pub use grad::{on_grad_accumulated, set_grad};
pub use host_bytes::{HostBytes, HostChunk, SplitHostBytes, pin_memory};
pub use malloc::keep_freed_memory;
pub use memory_format::{strides_channels_last, to_channels_last};
pub use optim::{AdamW, Sgd, fused_adamw, fused_sgd};
pub use stream::{Event, Stream, copy_non_blocking};

/// Makes a GPU this thread's current CUDA device, for libraries that query it. Does nothing for the CPU.
///
/// # Errors
/// If CUDA rejects the device.
pub fn set_device(device: Device) -> Result<(), TorchError> {
    let Device::Cuda(index) = device else { return Ok(()) };
    // SAFETY: changes thread-local state of CUDA's runtime and borrows nothing.
    ffi::check(unsafe { ffi::regatta_set_device(index as c_int) })
}

/// Sets whether cuDNN times its algorithms for each new shape and chooses the fastest, instead of using a heuristic. Steps
/// become faster and the start some seconds longer; results may differ in the last bits from one process to the next.
///
/// # Errors
/// If libtorch rejects the setting.
pub fn benchmark_cudnn(on: bool) -> Result<(), TorchError> {
    // SAFETY: changes a flag of libtorch's global context and borrows nothing.
    ffi::check(unsafe { ffi::regatta_benchmark_cudnn(on) })
}

/// Sets whether fp32 matrix products and convolutions on a GPU may round their inputs to TF32 (10 bits of precision).
///
/// # Errors
/// If libtorch rejects the setting.
pub fn allow_tf32(on: bool) -> Result<(), TorchError> {
    // SAFETY: changes flags of libtorch's global context and borrows nothing.
    ffi::check(unsafe { ffi::regatta_allow_tf32(on) })
}

/// Returns the version of the libtorch that this crate was built with, such as `2.11.0`.
pub fn torch_version() -> String {
    // SAFETY: a NUL-terminated constant.
    unsafe { CStr::from_ptr(ffi::regatta_torch_version()) }.to_string_lossy().into_owned()
}

/// Returns the peak number of bytes that tensors have occupied on a GPU.
///
/// # Errors
/// If CUDA is not available.
pub fn peak_device_bytes(gpu: usize) -> Result<u64, TorchError> {
    let mut bytes = 0;
    // SAFETY: writes one integer.
    ffi::check(unsafe { ffi::regatta_peak_device_bytes(gpu as c_int, &mut bytes) })?;
    Ok(bytes as u64)
}

/// Makes libtorch use deterministic kernels. An operation without one then fails.
///
/// # Errors
/// If libtorch rejects the setting.
pub fn set_deterministic(on: bool) -> Result<(), TorchError> {
    // SAFETY: changes a flag of libtorch's global context and borrows nothing.
    ffi::check(unsafe { ffi::regatta_set_deterministic(on) })
}
