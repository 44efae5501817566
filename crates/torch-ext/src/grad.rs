//! Sets the `.grad` of a parameter, and registers hooks that run when its gradient is complete.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::Tensor;

use crate::ffi::{TorchError, check, regatta_on_grad_accumulated, regatta_set_grad};

/// Sets the `.grad` of the leaf tensor `parameter`. The backward pass then accumulates into `grad` in place, so it may be a
/// view of a flat buffer. Element type, device and shape must equal the parameter's.
///
/// # Errors
/// If libtorch rejects the gradient.
///
/// # Panics
/// If the shapes differ.
pub fn set_grad(parameter: &Tensor, grad: &Tensor) -> Result<(), TorchError> {
    assert_eq!(parameter.size(), grad.size(), "a gradient has its parameter's shape");
    // SAFETY: both tensors live during the call; the shim copies the handle.
    check(unsafe { regatta_set_grad(parameter.as_ptr(), grad.as_ptr()) })
}

type Closure = Box<dyn Fn() + Send + Sync>;

/// Calls `hook` each time the backward pass has accumulated the gradient of the leaf tensor `parameter`: on the calling thread
/// for a CPU graph, on a thread of the autograd engine for CUDA. A parameter has one hook; a second one replaces the first.
/// `Tensor::backward` calls it, `Tensor::run_backward` does not. A hook that panics aborts the process, since it cannot unwind
/// through C++.
///
/// # Errors
/// If libtorch rejects the hook.
pub fn on_grad_accumulated(
    parameter: &Tensor,
    hook: impl Fn() + Send + Sync + 'static,
) -> Result<(), TorchError> {
    let closure: *mut Closure = Box::into_raw(Box::new(Box::new(hook)));
    // SAFETY: the shim owns `closure` from here on, even on failure, and passes it to `release` once.
    check(unsafe { regatta_on_grad_accumulated(parameter.as_ptr(), closure.cast(), call, release) })
}

unsafe extern "C" fn call(closure: *mut c_void) {
    // SAFETY: `closure` came from `on_grad_accumulated` and is released only with the hook; it is Send + Sync.
    let hook = unsafe { &*closure.cast::<Closure>() };
    if catch_unwind(AssertUnwindSafe(hook)).is_err() {
        std::process::abort();
    }
}

unsafe extern "C" fn release(closure: *mut c_void) {
    // SAFETY: called once, by the hook's destructor, with the pointer from `Box::into_raw`.
    drop(unsafe { Box::from_raw(closure.cast::<Closure>()) });
}
