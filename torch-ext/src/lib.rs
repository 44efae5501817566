//! What tch lacks of libtorch, behind a small C++ shim: gradient hooks, setting `.grad`, autocast with an element
//! type, fused optimizer steps, memory formats, and opening libtorch_cuda.

mod autocast;
mod cuda;
mod ffi;
mod grad;
mod malloc;
mod memory_format;
mod optim;

pub use autocast::{AutocastKind, autocast};
pub use cuda::{CudaError, open_cuda};
pub use ffi::TorchError;
pub use grad::{on_grad_accumulated, set_grad};
pub use malloc::keep_freed_memory;
pub use memory_format::{MemoryFormat, strides_channels_last, to_channels_last};
pub use optim::{AdamW, Sgd, fused_adamw, fused_sgd};

/// Asks libtorch for deterministic kernels; an operation that has none then fails instead of varying.
pub fn set_deterministic(on: bool) -> Result<(), TorchError> {
    // SAFETY: changes a flag of libtorch's global context and borrows nothing.
    ffi::check(unsafe { ffi::regatta_set_deterministic(on) })
}
