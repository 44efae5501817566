//! The shim's C interface, and its errors as a Rust type.

use std::ffi::{CStr, c_char, c_int, c_void};

use torch_sys::C_tensor;

/// An exception that libtorch threw inside the shim, with its text.
#[derive(Debug, thiserror::Error)]
#[error("libtorch: {0}")]
pub struct TorchError(String);

/// Turns the shim's answer (null: success; else the error's text) into a `Result`.
pub(crate) fn check(error: *const c_char) -> Result<(), TorchError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, so it is the shim's thread-local message: NUL-terminated, and alive until this
    // thread's next call into the shim.
    let text = unsafe { CStr::from_ptr(error) };
    Err(TorchError(text.to_string_lossy().into_owned()))
}

unsafe extern "C" {
    pub(crate) fn regatta_set_grad(parameter: *const C_tensor, grad: *const C_tensor) -> *const c_char;
    pub(crate) fn regatta_on_grad_accumulated(
        parameter: *const C_tensor,
        closure: *mut c_void,
        call: unsafe extern "C" fn(*mut c_void),
        release: unsafe extern "C" fn(*mut c_void),
    ) -> *const c_char;
    pub(crate) fn regatta_autocast_enter(device_type: c_int, scalar_type: c_int) -> *const c_char;
    pub(crate) fn regatta_autocast_exit(device_type: c_int) -> *const c_char;
    pub(crate) fn regatta_set_deterministic(on: bool) -> *const c_char;
    pub(crate) fn regatta_fused_sgd(
        params: *const *const C_tensor,
        grads: *const *const C_tensor,
        momenta: *const *const C_tensor,
        count: usize,
        weight_decay: f64,
        momentum: f64,
        lr: f64,
        nesterov: bool,
    ) -> *const c_char;
    pub(crate) fn regatta_fused_adamw(
        params: *const *const C_tensor,
        grads: *const *const C_tensor,
        first: *const *const C_tensor,
        second: *const *const C_tensor,
        step: *const C_tensor,
        count: usize,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
    ) -> *const c_char;
}
