//! Comparisons of the trainer with PyTorch, whose results `reference.py` computes, and tests of single parts of the trainer.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod reference;

mod networks;

mod average;
mod batch;
mod exchange;
mod feed;
mod image_order;
mod onnx;
mod overlap;
mod parity;
mod preparation;
mod skipped;
mod step_parity;
mod wrong_inputs;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use regatta_data::{LoaderSettings, Source};
use regatta_settings::Recipe;
use tch::{Device, Kind, Tensor};

use crate::datasets::Datasets;
use crate::feed::{Feed, Purpose, Segment};

/// Lock for tests that set libtorch's number of threads, which applies to the entire process.
fn alone() -> MutexGuard<'static, ()> {
    static THREADS: Mutex<()> = Mutex::new(());
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A feed at the beginning of a segment of these micro-batches of training images, on one thread.
fn training_feed(recipe: &Recipe, source: impl Source + 'static, micro_batches: &[&[usize]]) -> Feed {
    let train: Arc<dyn Source> = Arc::new(source);
    let datasets = Datasets::without_lists(Arc::clone(&train), train);
    let micro_batches: Vec<_> = micro_batches.iter().map(|indices| indices.to_vec()).collect();
    let segment =
        Segment { purpose: Purpose::Training, epoch: 0, micro_batches: Box::new(micro_batches.into_iter()) };
    let settings = LoaderSettings::default();
    let segments = std::iter::once(Ok(segment));
    let mut feed = Feed::new(recipe, &datasets, settings, Device::Cpu, segments).unwrap();
    feed.begin(Purpose::Training, 0).unwrap();
    feed
}

/// Asserts that two fp32 tensors have the same bits; unlike `==`, it distinguishes 0 and -0.
fn assert_equal_to_the_bit(what: &str, ours: &Tensor, theirs: &Tensor) {
    let bits = |tensor: &Tensor| tensor.contiguous().view_dtype(Kind::Int);
    assert!(
        bits(ours).equal(&bits(theirs)),
        "{what}: relative difference {:e}",
        relative_difference(ours, theirs)
    );
}

/// Asserts that the L2 norm of the difference is at most `tolerance` times that of PyTorch's tensor.
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
