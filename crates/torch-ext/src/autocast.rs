//! Autocast to a given element type, on CPU and CUDA.

use std::ffi::c_int;

use tch::Device;

use crate::ffi::{TorchError, check, regatta_autocast_enter, regatta_autocast_exit};

/// The element types that autocast casts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutocastKind {
    /// IEEE half precision, which needs loss scaling.
    Fp16 = 5,
    /// bfloat16: the exponent of fp32 with 8 bits of precision.
    Bf16 = 15,
}

/// A guard that leaves autocast when it is dropped, also during unwinding.
struct Leave(c_int);

impl Drop for Leave {
    fn drop(&mut self) {
        // SAFETY: pairs with the call that created this guard and changes only thread-local state of libtorch. Leaving
        // cannot fail for a device type that was entered.
        let _ = check(unsafe { regatta_autocast_exit(self.0) });
    }
}

/// Runs `body` with autocast to `kind` on `device`, or without autocast if `kind` is `None`. Casts of weights are cached
/// until the outermost call ends, so they never outlive an optimizer step.
///
/// # Errors
/// If libtorch rejects the device or the element type.
pub fn autocast<T>(
    device: Device,
    kind: Option<AutocastKind>,
    body: impl FnOnce() -> T,
) -> Result<T, TorchError> {
    let Some(kind) = kind else { return Ok(body()) };
    let device_type = if device == Device::Cpu { 0 } else { 1 };
    // SAFETY: changes only thread-local state of libtorch, which `Leave` restores.
    check(unsafe { regatta_autocast_enter(device_type, kind as c_int) })?;
    let _leave = Leave(device_type);
    Ok(body())
}
