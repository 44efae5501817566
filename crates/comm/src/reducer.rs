//! Sums gradients over ranks, bucket by bucket: while backward runs where the backend has a lane, else after it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use regatta_anynet::{Layout, Parameter};
use regatta_settings::GradientCompression;
use regatta_torch_ext::on_grad_accumulated;
use tch::{Kind, Tensor};

use crate::nccl_lane::NcclLane;
use crate::{CommError, FlatBuffer, World};

/// What the hooks know: which gradients of the last micro-batch are complete. Shared with the threads of backward.
#[derive(Debug)]
struct BackwardProgress {
    /// Set while the backward of the step's last micro-batch runs; gradients of earlier ones are partial.
    armed: AtomicBool,
    /// Times each parameter's gradient was completed in this step.
    completed: Vec<AtomicUsize>,
    /// Gradients that each bucket still waits for.
    missing: Vec<AtomicUsize>,
    /// Parameters in each bucket.
    members: Vec<usize>,
    /// Where complete buckets are started, if the backend can do that during backward.
    lane: Option<Arc<NcclLane>>,
    sums: Mutex<Sums>,
}

/// The buckets, and what was started in this step.
#[derive(Debug)]
struct Sums {
    buckets: Vec<Bucket>,
    /// Buckets complete so far, in the order in which the hooks saw it.
    complete: Vec<usize>,
    /// Buckets started so far: always the first ones of the fixed order.
    started: usize,
    /// What went wrong in a hook, which cannot return it.
    error: Option<CommError>,
}

/// A part of the gradient buffer, summed in one collective.
#[derive(Debug)]
struct Bucket {
    gradients: Tensor,
    /// What is summed in their place, where that is of a shorter kind.
    compressed: Option<Tensor>,
}

impl Bucket {
    /// What is to be summed, rounded to where it is compressed.
    fn pack(&mut self) -> &mut Tensor {
        match &mut self.compressed {
            Some(compressed) => {
                compressed.copy_(&self.gradients);
                compressed
            }
            None => &mut self.gradients,
        }
    }

    /// The sum, back in the gradient buffer.
    fn unpack(&mut self) {
        if let Some(compressed) = &self.compressed {
            self.gradients.copy_(compressed);
        }
    }
}

impl BackwardProgress {
    fn new(
        layout: &Layout,
        gradients: &FlatBuffer,
        compression: GradientCompression,
        lane: Option<Arc<NcclLane>>,
    ) -> Self {
        let members: Vec<usize> = (0..layout.buckets.len())
            .map(|bucket| layout.bucket_of.iter().filter(|&&b| b == bucket).count())
            .collect();
        Self {
            armed: AtomicBool::new(false),
            completed: layout.bucket_of.iter().map(|_| AtomicUsize::new(0)).collect(),
            missing: members.iter().map(|&count| AtomicUsize::new(count)).collect(),
            members,
            lane,
            sums: Mutex::new(Sums {
                buckets: buckets(layout, gradients, compression),
                complete: Vec::new(),
                started: 0,
                error: None,
            }),
        }
    }

    /// The hook of a parameter. Complete buckets are started in the fixed order: one that is complete before its turn
    /// waits for those before it.
    fn complete(&self, parameter: usize, bucket: usize) {
        if !self.armed.load(Ordering::Acquire) || self.completed[parameter].fetch_add(1, Ordering::AcqRel) > 0
        {
            return;
        }
        if self.missing[bucket].fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
            sums.complete.push(bucket);
            self.start_while(&mut sums, |bucket| self.missing[bucket].load(Ordering::Acquire) == 0);
        }
    }

    /// Starts the next buckets of the order, as long as they are ready.
    fn start_while(&self, sums: &mut Sums, is_ready: impl Fn(usize) -> bool) {
        let Some(lane) = &self.lane else { return };
        while sums.error.is_none() && sums.started < sums.buckets.len() && is_ready(sums.started) {
            // SAFETY: the buckets live as long as the reducer, and are left alone until the lane has finished: this
            // one's gradients are complete, and `reduce` comes before their next use.
            sums.error = unsafe { lane.start_sums(&mut [sums.buckets[sums.started].pack()]) }.err();
            sums.started += 1;
        }
    }

    fn reset(&self) {
        for count in &self.completed {
            count.store(0, Ordering::Release);
        }
        for (missing, &members) in self.missing.iter().zip(&self.members) {
            missing.store(members, Ordering::Release);
        }
    }
}

fn buckets(layout: &Layout, gradients: &FlatBuffer, compression: GradientCompression) -> Vec<Bucket> {
    let bucket = |range: &std::ops::Range<usize>| {
        let gradients = gradients.flat.narrow(0, range.start as i64, range.len() as i64);
        let compressed = match compression {
            GradientCompression::None => None,
            // As DDP's bf16_compress_hook: precision is lost once in each rank and once in each addition.
            GradientCompression::Bf16 => Some(gradients.zeros_like().to_kind(Kind::BFloat16)),
        };
        Bucket { gradients, compressed }
    };
    layout.buckets.iter().map(bucket).collect()
}

/// Owns the buckets of a gradient buffer and the hooks that watch them fill.
///
/// With a lane (NCCL) a bucket's sum starts as soon as its gradients, and the buckets before it, are complete. MPI is
/// funneled, so its buckets are reduced in order on the main thread after backward.
#[derive(Debug)]
pub struct Reducer {
    progress: Arc<BackwardProgress>,
    names: Vec<String>,
    completion_order: Vec<usize>,
}

impl Reducer {
    /// Hooks every parameter. `parameters` and `gradients` share `layout`; `world` is the one that [`Reducer::reduce`] will
    /// be given.
    pub fn new(
        layout: &Layout,
        specs: &[Parameter],
        parameters: &FlatBuffer,
        gradients: &FlatBuffer,
        compression: GradientCompression,
        world: &World,
    ) -> Result<Self, CommError> {
        let progress = Arc::new(BackwardProgress::new(layout, gradients, compression, world.lane().cloned()));
        for (index, parameter) in parameters.views.iter().enumerate() {
            let (progress, bucket) = (Arc::clone(&progress), layout.bucket_of[index]);
            on_grad_accumulated(parameter, move || progress.complete(index, bucket))?;
        }
        Ok(Self {
            progress,
            names: specs.iter().map(|spec| spec.name.clone()).collect(),
            completion_order: Vec::new(),
        })
    }

    /// Announces the backward of this rank's last micro-batch: from here on a completed gradient is final.
    pub fn arm(&self) {
        self.progress.armed.store(true, Ordering::Release);
    }

    /// Sums every bucket over the ranks, in the fixed order, or waits for the sums that the hooks have started. A rank that
    /// had no micro-batch in this step (it never armed) takes part with what its buffer holds: zeros.
    pub fn reduce(&mut self, world: &World) -> Result<(), CommError> {
        let was_armed = self.progress.armed.swap(false, Ordering::AcqRel);
        let mut sums = self.progress.sums.lock().unwrap_or_else(PoisonError::into_inner);
        self.completion_order = std::mem::take(&mut sums.complete);
        if was_armed {
            let missing = self.without_gradient();
            self.progress.reset();
            if !missing.is_empty() {
                return Err(CommError::NoGradient(missing));
            }
        }
        self.progress.start_while(&mut sums, |_| true);
        sums.started = 0;
        if let Some(error) = sums.error.take() {
            return Err(error);
        }
        match &self.progress.lane {
            Some(lane) => lane.finish()?,
            None => sums.buckets.iter_mut().try_for_each(|bucket| world.all_reduce(bucket.pack()))?,
        }
        sums.buckets.iter_mut().for_each(Bucket::unpack);
        Ok(())
    }

    /// The buckets in the order in which the last armed backward completed them.
    pub fn completion_order(&self) -> &[usize] {
        &self.completion_order
    }

    /// Names of the parameters that the armed backward left without a gradient.
    fn without_gradient(&self) -> Vec<String> {
        let BackwardProgress { missing, completed, .. } = &*self.progress;
        if missing.iter().all(|count| count.load(Ordering::Acquire) == 0) {
            return Vec::new();
        }
        let named = completed.iter().zip(&self.names);
        named.filter(|(c, _)| c.load(Ordering::Acquire) == 0).map(|(_, name)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use regatta_anynet::{BucketCaps, Role};
    use regatta_settings::MemoryFormat;
    use regatta_torch_ext::set_grad;
    use tch::{Device, Kind};

    use super::*;

    fn fixture(compression: GradientCompression) -> (FlatBuffer, FlatBuffer, Reducer) {
        let specs: Vec<_> = (0..3)
            .map(|block| Parameter {
                name: format!("layer{block}.weight"),
                shape: vec![4],
                block,
                role: Role::ConvWeight,
            })
            .collect();
        let layout = Layout::new(&specs, BucketCaps { first: 64, rest: 64 });
        let options = (Kind::Double, Device::Cpu);
        let parameters = FlatBuffer::zeros(&layout, &specs, MemoryFormat::Contiguous, options);
        let gradients = parameters.zeros_like();
        for (parameter, gradient) in parameters.views.iter().zip(&gradients.views) {
            set_grad(&parameter.set_requires_grad(true), gradient).unwrap();
        }
        let reducer =
            Reducer::new(&layout, &specs, &parameters, &gradients, compression, &World::alone()).unwrap();
        (parameters, gradients, reducer)
    }

    fn backward(parameters: &[Tensor], scale: f64) {
        let losses: Vec<_> = parameters.iter().map(|p| (p * scale).sum(Kind::Double)).collect();
        Tensor::stack(&losses, 0).sum(Kind::Double).backward();
    }

    #[test]
    fn micro_batches_accumulate_into_the_flat_buffer() {
        let (parameters, gradients, mut reducer) = fixture(GradientCompression::None);
        backward(&parameters.views, 2.0);
        reducer.arm();
        backward(&parameters.views, 3.0);
        reducer.reduce(&World::alone()).unwrap();
        assert_eq!(gradients.flat.sum(Kind::Double).double_value(&[]), 5.0 * 12.0);
    }

    #[test]
    fn compressed_gradients_are_rounded_to_bfloat16() {
        for (compression, expected) in
            [(GradientCompression::None, 1.0 + 1.0 / 512.0), (GradientCompression::Bf16, 1.0)]
        {
            let (parameters, gradients, mut reducer) = fixture(compression);
            reducer.arm();
            backward(&parameters.views, 1.0 + 1.0 / 512.0);
            reducer.reduce(&World::alone()).unwrap();
            assert_eq!(gradients.flat.max().double_value(&[]), expected);
        }
    }

    #[test]
    fn a_parameter_without_a_gradient_is_named_each_time() {
        let (parameters, _gradients, mut reducer) = fixture(GradientCompression::None);
        for _ in 0..2 {
            reducer.arm();
            backward(&parameters.views[..2], 1.0);
            let error = reducer.reduce(&World::alone()).unwrap_err();
            assert_eq!(error.to_string(), "no gradient reached layer2.weight");
        }
        reducer.arm();
        backward(&parameters.views, 1.0);
        reducer.reduce(&World::alone()).unwrap();
    }

    #[test]
    fn a_rank_without_images_still_takes_part() {
        let (_parameters, gradients, mut reducer) = fixture(GradientCompression::None);
        reducer.reduce(&World::alone()).unwrap();
        assert_eq!(gradients.flat.abs().max().double_value(&[]), 0.0);
    }
}
