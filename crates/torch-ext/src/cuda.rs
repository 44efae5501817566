//! Loads libtorch_cuda, which is not linked, before anything queries CUDA through libtorch.

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;

/// The reason why CUDA cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CudaError {
    /// The machine has no NVIDIA device.
    #[error("no NVIDIA GPU on this machine: /dev/nvidiactl does not exist")]
    NoDevice,
    /// libtorch_cuda.so cannot be loaded: libtorch is a CPU build, or a library is missing.
    #[error(
        "libtorch_cuda.so does not load ({0}): a libtorch with CUDA is needed, for example pip's torch==2.11.0"
    )]
    Library(String),
    /// libtorch_cuda.so was loaded but sees no device: the driver is too old or not running, or no device is visible.
    #[error(
        "libtorch sees no CUDA device: the driver may be older than CUDA 13 needs (see nvidia-smi), or CUDA_VISIBLE_DEVICES hides it"
    )]
    NoUsableDevice,
}

/// Loads libtorch_cuda and returns the number of usable devices, at least one. Must be called before the first query about
/// CUDA (`Cuda::is_available`, `manual_seed`): libtorch caches a negative answer permanently.
///
/// # Errors
/// If there is no NVIDIA device, the library cannot be loaded, or it sees no device.
pub fn open_cuda() -> Result<usize, CudaError> {
    if !Path::new("/dev/nvidiactl").exists() {
        return Err(CudaError::NoDevice);
    }
    let name = CString::new("libtorch_cuda.so").expect("no NUL");
    // SAFETY: loads a library with libtorch's own initializers and never unloads it. RTLD_GLOBAL allows it to register
    // its kernels with the libtorch_cpu that is already loaded.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if handle.is_null() {
        // SAFETY: dlopen has just failed on this thread, so dlerror returns its NUL-terminated message.
        let text = unsafe { CStr::from_ptr(libc::dlerror()) };
        return Err(CudaError::Library(text.to_string_lossy().into_owned()));
    }
    match tch::Cuda::device_count() {
        count if count > 0 => Ok(count as usize),
        _ => Err(CudaError::NoUsableDevice),
    }
}

/// Returns the PCI address of a GPU, which is the same in every process regardless of CUDA_VISIBLE_DEVICES. Requires
/// [`open_cuda`].
///
/// # Errors
/// If the CUDA runtime lacks the function or reports an error.
pub fn pci_bus_id(gpu: usize) -> Result<String, CudaError> {
    type GetPciBusId = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
    let error = |what: &str| CudaError::Library(format!("cudaDeviceGetPCIBusId {what}"));
    // SAFETY: only looks the symbol up.
    let function = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"cudaDeviceGetPCIBusId".as_ptr()) };
    if function.is_null() {
        return Err(error("was not found"));
    }
    // SAFETY: the CUDA runtime defines this function with this signature.
    let function = unsafe { std::mem::transmute::<*mut libc::c_void, GetPciBusId>(function) };
    let mut text = [0 as c_char; 64];
    // SAFETY: writes at most the given length, including a NUL.
    let status = unsafe { function(text.as_mut_ptr(), text.len() as c_int, gpu as c_int) };
    if status != 0 {
        return Err(error(&format!("returned error {status}")));
    }
    // SAFETY: the call succeeded, so the text is NUL-terminated.
    Ok(unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned())
}
