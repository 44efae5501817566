//! Dynamic loss scaling, which keeps fp16 gradients from underflowing: the scale grows while they are finite and backs off when
//! they are not.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Constants of PyTorch's GradScaler.
const INITIAL: f32 = 65_536.0;
const GROWTH: f64 = 2.0;
const BACKOFF: f64 = 0.5;
/// Steps with finite gradients from one growth to the next.
const GROWTH_INTERVAL: i64 = 2000;

/// The loss scale, on the device. It depends only on the reduced gradients, so it is equal on all ranks.
#[derive(Debug)]
pub(crate) struct LossScale {
    scale: Tensor,
    /// Steps with finite gradients since the scale last changed.
    tracker: Tensor,
}

/// The state that a checkpoint stores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct LossScaleState {
    /// The factor.
    pub(crate) scale: f32,
    /// Steps with finite gradients since it last changed.
    pub(crate) finite_steps: i32,
}

impl Default for LossScaleState {
    fn default() -> Self {
        Self { scale: INITIAL, finite_steps: 0 }
    }
}

impl LossScale {
    /// Creates a loss scale with this state.
    pub(crate) fn new(state: LossScaleState, device: Device) -> Self {
        let scale = Tensor::from_slice(&[state.scale]).to_device(device);
        let tracker = Tensor::from_slice(&[state.finite_steps]).to_device(device);
        Self { scale, tracker }
    }

    /// Returns the scale, `[1]` in float32 on the device.
    pub(crate) fn scale(&self) -> &Tensor {
        &self.scale
    }

    /// Returns the scaled loss, from which backward starts.
    pub(crate) fn scaled(&self, loss: &Tensor) -> Tensor {
        loss * self.scale.squeeze()
    }

    /// Divides the gradients by the scale.
    pub(crate) fn unscale(&self, gradients: &mut Tensor) {
        _ = gradients.g_mul_(&self.scale.reciprocal());
    }

    /// Grows or backs off; `found_inf` is 1.0 where the gradients were not finite, else 0.0.
    pub(crate) fn update(&mut self, found_inf: &Tensor) {
        let tracker = &self.tracker;
        _ = self.scale.internal_amp_update_scale_(
            tracker,
            &found_inf.view([1]),
            GROWTH,
            BACKOFF,
            GROWTH_INTERVAL,
        );
    }

    /// Returns the state for a checkpoint; waits for the device.
    pub(crate) fn state(&self) -> LossScaleState {
        LossScaleState {
            scale: self.scale.double_value(&[0]) as f32,
            finite_steps: self.tracker.int64_value(&[0]) as i32,
        }
    }
}

/// Returns 1.0 in float32 if `norm` is not finite, else 0.0, on the device of `norm`.
pub(crate) fn found_inf(norm: &Tensor) -> Tensor {
    norm.isfinite().logical_not().to_kind(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_grows_and_backs_off() {
        let state = LossScaleState { scale: 8.0, finite_steps: GROWTH_INTERVAL as i32 - 1 };
        let mut scale = LossScale::new(state, Device::Cpu);
        let inf = |norm: f64| found_inf(&Tensor::from(norm));
        scale.update(&inf(1.0));
        assert_eq!(scale.state(), LossScaleState { scale: 16.0, finite_steps: 0 });
        scale.update(&inf(3.0));
        assert_eq!(scale.state(), LossScaleState { scale: 16.0, finite_steps: 1 });
        for value in [f64::INFINITY, f64::NAN] {
            scale.update(&inf(value));
        }
        assert_eq!(scale.state(), LossScaleState { scale: 4.0, finite_steps: 0 });
        let mut gradients = Tensor::from_slice(&[8.0f32, -2.0]);
        scale.unscale(&mut gradients);
        assert_eq!(Vec::<f32>::try_from(gradients).unwrap(), [2.0, -0.5]);
        assert_eq!(scale.scaled(&Tensor::from(1.5f32)).double_value(&[]), 6.0);
    }
}
