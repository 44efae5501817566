//! Optimizer steps over slices of flat buffers, with one fused kernel call per group.

use tch::Tensor;
use torch_sys::C_tensor;

use crate::ffi::{TorchError, check, regatta_fused_adamw, regatta_fused_sgd};

/// Constants of a step of stochastic gradient descent, defined as in `torch.optim.SGD` (dampening 0).
#[derive(Debug, Clone, Copy)]
pub struct Sgd {
    /// Momentum; 0 leaves the buffers untouched.
    pub momentum: f64,
    /// Whether to use Nesterov momentum.
    pub nesterov: bool,
    /// Coefficient of the L2 penalty, which is added to the gradient.
    pub weight_decay: f64,
}

/// Constants of a step of `torch.optim.AdamW` (Loshchilov and Hutter 2019), without amsgrad.
#[derive(Debug, Clone, Copy)]
pub struct AdamW {
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Term added to the square root of the second moment.
    pub eps: f64,
}

fn pointers(tensors: &[Tensor]) -> Vec<*const C_tensor> {
    tensors.iter().map(Tensor::as_ptr).collect()
}

/// Performs one step on each `(params[i], grads[i], momenta[i])`, in place. With zero momentum buffers, the first step equals
/// PyTorch's. `lr` is the learning rate, a scalar on the same device: float32 on a GPU, float64 on a CPU. If `found_inf`, a
/// float32 scalar on the same device, is 1, nothing changes.
///
/// # Errors
/// If libtorch rejects the tensors.
///
/// # Panics
/// If the lists differ in length.
pub fn fused_sgd(
    params: &[Tensor],
    grads: &[Tensor],
    momenta: &[Tensor],
    lr: &Tensor,
    found_inf: &Tensor,
    constants: Sgd,
) -> Result<(), TorchError> {
    assert!(
        params.len() == grads.len() && params.len() == momenta.len(),
        "one gradient and momentum buffer per parameter"
    );
    let (p, g, m) = (pointers(params), pointers(grads), pointers(momenta));
    let Sgd { momentum, nesterov, weight_decay } = constants;
    // SAFETY: three arrays of `p.len()` live tensors and two live scalars, borrowed for the call.
    check(unsafe {
        let (p, g, m, count) = (p.as_ptr(), g.as_ptr(), m.as_ptr(), p.len());
        regatta_fused_sgd(p, g, m, found_inf.as_ptr(), count, weight_decay, momentum, lr.as_ptr(), nesterov)
    })
}

/// Performs one step on each parameter, in place. `lr` is defined as in [`fused_sgd`]; `step` is a float32 scalar, the number of
/// this step, counted from 1. If `found_inf`, a float32 scalar, is 1, nothing changes. All are on the parameters' device.
///
/// # Errors
/// If libtorch rejects the tensors.
///
/// # Panics
/// If the lists differ in length.
#[allow(clippy::too_many_arguments, reason = "the lists and scalars of libtorch's own operator")]
pub fn fused_adamw(
    params: &[Tensor],
    grads: &[Tensor],
    first_moments: &[Tensor],
    second_moments: &[Tensor],
    lr: &Tensor,
    step: &Tensor,
    found_inf: &Tensor,
    constants: AdamW,
) -> Result<(), TorchError> {
    let count = params.len();
    assert!(
        [grads.len(), first_moments.len(), second_moments.len()] == [count; 3],
        "one gradient and two moments per parameter"
    );
    let (p, g) = (pointers(params), pointers(grads));
    let (first, second) = (pointers(first_moments), pointers(second_moments));
    let AdamW { beta1, beta2, weight_decay, eps } = constants;
    // SAFETY: four arrays of `count` live tensors and three live scalars, borrowed for the call.
    check(unsafe {
        regatta_fused_adamw(
            p.as_ptr(),
            g.as_ptr(),
            first.as_ptr(),
            second.as_ptr(),
            step.as_ptr(),
            found_inf.as_ptr(),
            count,
            lr.as_ptr(),
            beta1,
            beta2,
            weight_decay,
            eps,
        )
    })
}
