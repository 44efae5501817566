//! The C interface of the shim, and its errors as a Rust type.

use std::ffi::{CStr, c_char, c_int, c_void};

use torch_sys::C_tensor;

/// An exception that libtorch threw inside the shim, with its message.
#[derive(Debug, thiserror::Error)]
#[error("libtorch: {0}")]
pub struct TorchError(String);

/// Converts the shim's return value (null on success, otherwise the error message) to a `Result`.
pub(crate) fn check(error: *const c_char) -> Result<(), TorchError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, so it is the shim's thread-local message, which is NUL-terminated and valid until this thread's
    // next call into the shim.
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
    pub(crate) fn regatta_benchmark_cudnn(on: bool) -> *const c_char;
    pub(crate) fn regatta_graph_begin(graph: *mut *mut c_void) -> *const c_char;
    pub(crate) fn regatta_graph_end(graph: *mut c_void) -> *const c_char;
    pub(crate) fn regatta_graph_replay(graph: *mut c_void) -> *const c_char;
    pub(crate) fn regatta_graph_free(graph: *mut c_void);
    pub(crate) fn regatta_allow_tf32(on: bool) -> *const c_char;
    pub(crate) fn regatta_set_device(device: c_int) -> *const c_char;
    pub(crate) fn regatta_peak_device_bytes(device: c_int, bytes: *mut i64) -> *const c_char;
    pub(crate) fn regatta_stream_from_pool(device: c_int, high_priority: bool, id: *mut i64)
    -> *const c_char;
    pub(crate) fn regatta_stream_current(device: c_int, id: *mut i64) -> *const c_char;
    pub(crate) fn regatta_stream_make_current(device: c_int, id: i64) -> *const c_char;
    pub(crate) fn regatta_stream_native_handle(
        device: c_int,
        id: i64,
        handle: *mut *mut c_void,
    ) -> *const c_char;
    pub(crate) fn regatta_stream_synchronize(device: c_int, id: i64) -> *const c_char;
    pub(crate) fn regatta_event_new(device: c_int, timed: bool, event: *mut *mut c_void) -> *const c_char;
    pub(crate) fn regatta_event_free(event: *mut c_void);
    pub(crate) fn regatta_event_record(event: *mut c_void, device: c_int, stream: i64) -> *const c_char;
    pub(crate) fn regatta_event_block(event: *const c_void, device: c_int, stream: i64) -> *const c_char;
    pub(crate) fn regatta_event_synchronize(event: *const c_void) -> *const c_char;
    pub(crate) fn regatta_event_query(event: *const c_void, done: *mut bool) -> *const c_char;
    pub(crate) fn regatta_event_elapsed_ms(
        from: *const c_void,
        to: *const c_void,
        ms: *mut f64,
    ) -> *const c_char;
    pub(crate) fn regatta_torch_version() -> *const c_char;
    pub(crate) fn regatta_pin_memory(source: *const C_tensor, pinned: *mut *mut C_tensor) -> *const c_char;
    pub(crate) fn regatta_copy_non_blocking(
        target: *const C_tensor,
        source: *const C_tensor,
        device: c_int,
        stream: i64,
    ) -> *const c_char;
    pub(crate) fn regatta_fused_sgd(
        params: *const *const C_tensor,
        grads: *const *const C_tensor,
        momenta: *const *const C_tensor,
        found_inf: *const C_tensor,
        count: usize,
        weight_decay: f64,
        momentum: f64,
        lr: *const C_tensor,
        nesterov: bool,
    ) -> *const c_char;
    pub(crate) fn regatta_fused_adamw(
        params: *const *const C_tensor,
        grads: *const *const C_tensor,
        first: *const *const C_tensor,
        second: *const *const C_tensor,
        step: *const C_tensor,
        found_inf: *const C_tensor,
        count: usize,
        lr: *const C_tensor,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
    ) -> *const c_char;
}
