//! Autocast with an element type, on CPU and CUDA.

use std::ffi::c_int;

use tch::Device;

use crate::ffi::{TorchError, check, regatta_autocast_enter, regatta_autocast_exit};

/// The element types that autocast casts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutocastKind {
    /// IEEE half precision; needs a loss scale.
    Fp16 = 5,
    /// bfloat16: the exponent of fp32 with 8 bits of precision.
    Bf16 = 15,
}

/// Leaves autocast when it goes out of scope, also while unwinding.
struct Leave(c_int);

impl Drop for Leave {
    fn drop(&mut self) {
        // SAFETY: pairs with the enter that made this guard; changes thread-local state of libtorch only. Leaving
        // cannot fail for a device type that was entered.
        let _ = check(unsafe { regatta_autocast_exit(self.0) });
    }
}

/// Runs `body` under autocast to `kind` on `device`, or as it is when `kind` is none. Weight casts are
/// cached within the outermost call and dropped at its end, so they never outlive an optimizer step.
pub fn autocast<T>(
    device: Device,
    kind: Option<AutocastKind>,
    body: impl FnOnce() -> T,
) -> Result<T, TorchError> {
    let Some(kind) = kind else { return Ok(body()) };
    let device_type = if device == Device::Cpu { 0 } else { 1 };
    // SAFETY: thread-local state of libtorch only; `Leave` undoes it.
    check(unsafe { regatta_autocast_enter(device_type, kind as c_int) })?;
    let _leave = Leave(device_type);
    Ok(body())
}
