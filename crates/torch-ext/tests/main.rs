//! Tests of the shim with libtorch.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod convolution;
mod host_bytes;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use regatta_torch_ext::{
    AdamW, AutocastKind, Sgd, autocast, fused_adamw, fused_sgd, on_grad_accumulated, set_grad,
    strides_channels_last, to_channels_last,
};
use tch::{Device, Kind, Tensor};

const CPU: (Kind, Device) = (Kind::Double, Device::Cpu);

#[test]
fn backward_accumulates_into_the_grad_that_was_set() {
    let flat = Tensor::zeros([8], CPU);
    let parameter = Tensor::ones([2, 2], CPU).set_requires_grad(true);
    set_grad(&parameter, &flat.narrow(0, 4, 4).view([2, 2])).unwrap();
    for _ in 0..2 {
        (&parameter * 3.0).sum(Kind::Double).backward();
    }
    assert_eq!(Vec::<f64>::try_from(flat).unwrap(), [0.0, 0.0, 0.0, 0.0, 6.0, 6.0, 6.0, 6.0]);
}

#[test]
#[should_panic(expected = "a gradient has its parameter's shape")]
fn a_grad_of_another_shape_is_rejected() {
    let parameter = Tensor::ones([2], CPU).set_requires_grad(true);
    set_grad(&parameter, &Tensor::ones([3], CPU)).unwrap();
}

#[test]
fn the_hook_runs_once_per_backward_and_is_released_with_the_parameter() {
    let calls = Arc::new(AtomicUsize::new(0));
    let parameter = Tensor::ones([3], CPU).set_requires_grad(true);
    let counter = Arc::clone(&calls);
    on_grad_accumulated(&parameter, move || {
        counter.fetch_add(1, Ordering::SeqCst);
    })
    .unwrap();
    // Used twice in the graph: still one call, after its whole gradient is complete.
    (&parameter * &parameter).sum(Kind::Double).backward();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    (&parameter * 2.0).sum(Kind::Double).backward();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    drop(parameter);
    assert_eq!(Arc::strong_count(&calls), 1);
}

#[test]
fn autocast_applies_only_inside_and_caches_no_stale_weights() {
    let mut weight = Tensor::ones([4, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let input = Tensor::ones([1, 4], (Kind::Float, Device::Cpu));
    let run = |weight: &Tensor| {
        autocast(Device::Cpu, Some(AutocastKind::Bf16), || input.linear(weight, None::<Tensor>)).unwrap()
    };
    let output = run(&weight);
    assert_eq!(output.kind(), Kind::BFloat16);
    tch::no_grad(|| _ = weight.fill_(2.0));
    assert_eq!(run(&weight).double_value(&[0, 0]), 8.0);
    assert_eq!(input.linear(&weight, None::<Tensor>).kind(), Kind::Float);
}

#[test]
fn channels_last_preserves_values_and_changes_strides() {
    let images = Tensor::arange(24, CPU).view([1, 2, 3, 4]);
    let last = to_channels_last(&images);
    assert_eq!(last.stride(), strides_channels_last([1, 2, 3, 4]));
    assert!(last.equal(&images));
}

#[test]
fn sgd_follows_the_formula() {
    let [p, g, m] = [2.0, 0.5, 0.25].map(|value| Tensor::full([3], value, CPU));
    let constants = Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.01 };
    let clone = |tensor: &Tensor| [tensor.shallow_clone()];
    let step = |found_inf: f32| {
        let (lr, found_inf) = (Tensor::from(0.1), Tensor::from(found_inf));
        fused_sgd(&clone(&p), &clone(&g), &clone(&m), &lr, &found_inf, constants).unwrap();
    };
    step(1.0);
    assert_eq!((p.double_value(&[1]), m.double_value(&[1])), (2.0, 0.25));
    step(0.0);
    let grad = 0.5 + 0.01 * 2.0;
    let momentum = 0.9 * 0.25 + grad;
    assert!((m.double_value(&[1]) - momentum).abs() < 1e-12);
    assert!((p.double_value(&[1]) - (2.0 - 0.1 * (grad + 0.9 * momentum))).abs() < 1e-12);
}

#[test]
fn adamw_follows_the_formula() {
    let [p, g, first, second] = [2.0, 0.5, 0.0, 0.0].map(|value| Tensor::full([3], value, CPU));
    let step = Tensor::from(1.0f32);
    let constants = AdamW { beta1: 0.9, beta2: 0.99, weight_decay: 0.01, eps: 1e-8 };
    let clone = |tensor: &Tensor| [tensor.shallow_clone()];
    let update = |found_inf: f32| {
        let (lr, found_inf) = (Tensor::from(0.1), Tensor::from(found_inf));
        let (first, second) = (clone(&first), clone(&second));
        fused_adamw(&clone(&p), &clone(&g), &first, &second, &lr, &step, &found_inf, constants).unwrap();
    };
    update(1.0);
    assert_eq!((p.double_value(&[0]), first.double_value(&[0])), (2.0, 0.0));
    update(0.0);
    // After one step the corrected moments are g and g², so the update is lr · sign(g).
    let expected = 2.0 * (1.0 - 0.1 * 0.01) - 0.1 * 0.5 / (0.5 + 1e-8);
    assert!((p.double_value(&[0]) - expected).abs() < 1e-9, "{}", p.double_value(&[0]));
}
