//! The trainer against PyTorch itself: the same network, optimizer and step, computed there by `reference.py`.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod reference;

mod networks;

mod exchange;
mod feed;
mod overlap;
mod parity;
mod skipped;
mod step_parity;
mod wrong_inputs;

use std::sync::{Mutex, MutexGuard, PoisonError};

use tch::{Kind, Tensor};

/// libtorch's number of threads is the process's: tests that set it take turns.
fn alone() -> MutexGuard<'static, ()> {
    static THREADS: Mutex<()> = Mutex::new(());
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of fp32 tensors; unlike `==`, it tells the two zeros apart.
fn assert_equal_to_the_bit(what: &str, ours: &Tensor, theirs: &Tensor) {
    let bits = |tensor: &Tensor| tensor.contiguous().view_dtype(Kind::Int);
    assert!(
        bits(ours).equal(&bits(theirs)),
        "{what}: relative difference {:e}",
        relative_difference(ours, theirs)
    );
}

/// `tolerance` is of the difference's L2 norm over PyTorch's.
fn assert_close(what: &str, ours: &Tensor, theirs: &Tensor, tolerance: f64) {
    let difference = relative_difference(ours, theirs);
    assert!(difference <= tolerance, "{what}: relative difference {difference:e}");
}

fn relative_difference(ours: &Tensor, theirs: &Tensor) -> f64 {
    let norm = |tensor: &Tensor| tensor.norm().double_value(&[]);
    let (ours, theirs) = (ours.to_kind(Kind::Double), theirs.to_kind(Kind::Double));
    let difference = norm(&(ours - &theirs));
    if difference == 0.0 { 0.0 } else { difference / norm(&theirs) }
}
