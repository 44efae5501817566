//! Opening libtorch_cuda, which the linker leaves out, before anything asks libtorch about CUDA.

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;

/// Why CUDA, asked for or found, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CudaError {
    /// The machine has no NVIDIA device.
    #[error("no NVIDIA GPU on this machine: /dev/nvidiactl does not exist")]
    NoDevice,
    /// libtorch_cuda.so does not load: a CPU build of libtorch, or a missing library.
    #[error(
        "libtorch_cuda.so does not load ({0}): a libtorch with CUDA is needed, for example pip's torch==2.11.0"
    )]
    Library(String),
    /// It loads, but sees no device: a driver that is too old or not running, or no visible device.
    #[error(
        "libtorch sees no CUDA device: the driver may be older than CUDA 13 needs (see nvidia-smi), or CUDA_VISIBLE_DEVICES hides it"
    )]
    NoUsableDevice,
}

/// Opens libtorch_cuda and returns the number of usable devices, at least one. Must come before the first question
/// about CUDA (`Cuda::is_available`, `manual_seed`): libtorch remembers a "no" for good.
pub fn open_cuda() -> Result<usize, CudaError> {
    if !Path::new("/dev/nvidiactl").exists() {
        return Err(CudaError::NoDevice);
    }
    let name = CString::new("libtorch_cuda.so").expect("no NUL");
    // SAFETY: loads a library whose initialisers are libtorch's own; never closed. RTLD_GLOBAL is what lets it
    // register its kernels with the libtorch_cpu that is already there.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if handle.is_null() {
        // SAFETY: dlopen failed on this thread just now, so dlerror returns its NUL-terminated text.
        let text = unsafe { CStr::from_ptr(libc::dlerror()) };
        return Err(CudaError::Library(text.to_string_lossy().into_owned()));
    }
    match tch::Cuda::device_count() {
        count if count > 0 => Ok(count as usize),
        _ => Err(CudaError::NoUsableDevice),
    }
}

/// The address of a GPU on the PCI bus, which is the same in every process whatever is visible there. After [`open_cuda`].
pub fn pci_bus_id(gpu: usize) -> Result<String, CudaError> {
    type GetPciBusId = unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int;
    let missing = |what: &str| CudaError::Library(format!("cudaDeviceGetPCIBusId {what}"));
    // SAFETY: only looks the symbol up.
    let function = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"cudaDeviceGetPCIBusId".as_ptr()) };
    if function.is_null() {
        return Err(missing("is not there"));
    }
    // SAFETY: CUDA's runtime has this function with this signature.
    let function = unsafe { std::mem::transmute::<*mut libc::c_void, GetPciBusId>(function) };
    let mut text = [0 as c_char; 64];
    // SAFETY: writes at most the length given, with a NUL.
    let status = unsafe { function(text.as_mut_ptr(), text.len() as c_int, gpu as c_int) };
    if status != 0 {
        return Err(missing(&format!("answers with error {status}")));
    }
    // SAFETY: the call succeeded, so there is a NUL within.
    Ok(unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned())
}
