//! Sums gradients over ranks, bucket by bucket: during the backward pass over NCCL, and after it over MPI.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use regatta_anynet::{Layout, Parameter};
use regatta_settings::GradientCompression;
use regatta_torch_ext::on_grad_accumulated;
use tch::{Kind, Tensor};

use crate::nccl_lane::NcclLane;
use crate::{CommError, FlatBuffer, World};

/// The progress of the backward pass: which gradients of the last micro-batch are complete. Shared with autograd's threads.
#[derive(Debug)]
struct BackwardProgress {
    /// Set during the backward pass of the step's last micro-batch; after earlier ones the gradients are partial.
    armed: AtomicBool,
    /// How often each parameter's gradient was completed in this step.
    completed: Vec<AtomicUsize>,
    /// Number of gradients that each bucket is still missing.
    missing: Vec<AtomicUsize>,
    /// Number of parameters in each bucket.
    members: Vec<usize>,
    /// Starts complete buckets during the backward pass, if NCCL is used.
    lane: Option<Arc<NcclLane>>,
    sums: Mutex<Sums>,
}

/// The buckets, and the sums started in this step.
#[derive(Debug)]
struct Sums {
    buckets: Vec<Bucket>,
    /// Complete buckets, in the order in which they became complete.
    complete: Vec<usize>,
    /// Number of started buckets; buckets are always started in a fixed order.
    started: usize,
    /// An error in a hook, which cannot return it.
    error: Option<CommError>,
}

/// A part of the gradient buffer that is summed in one collective.
#[derive(Debug)]
struct Bucket {
    gradients: Tensor,
    /// Compressed copy that is summed instead of the gradients, if compression is on.
    compressed: Option<Tensor>,
}

impl Bucket {
    /// Returns the tensor to sum, after compressing the gradients if compression is on.
    fn pack(&mut self) -> &mut Tensor {
        match &mut self.compressed {
            Some(compressed) => {
                compressed.copy_(&self.gradients);
                compressed
            }
            None => &mut self.gradients,
        }
    }

    /// Copies a compressed sum back to the gradient buffer.
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

    /// The gradient hook of a parameter. Starts complete buckets in a fixed order: one that completes early waits for its
    /// predecessors.
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

    /// Starts the next buckets in order, as long as they are ready.
    fn start_while(&self, sums: &mut Sums, is_ready: impl Fn(usize) -> bool) {
        let Some(lane) = &self.lane else { return };
        while sums.error.is_none() && sums.started < sums.buckets.len() && is_ready(sums.started) {
            // SAFETY: the buckets live as long as the reducer and are not touched until the lane has finished: the
            // gradients of this one are complete, and `reduce` precedes their next use.
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
            // As in DDP's bf16_compress_hook, precision is lost once on each rank and once in each addition.
            GradientCompression::Bf16 => Some(gradients.zeros_like().to_kind(Kind::BFloat16)),
        };
        Bucket { gradients, compressed }
    };
    layout.buckets.iter().map(bucket).collect()
}

/// Sums the buckets of a gradient buffer over all ranks, and owns the hooks that detect complete buckets.
///
/// With NCCL the sum of a bucket starts as soon as its gradients and all preceding buckets are complete. MPI may be called
/// from the main thread only, so its buckets are summed in order after the backward pass.
#[derive(Debug)]
pub struct Reducer {
    progress: Arc<BackwardProgress>,
    names: Vec<String>,
    completion_order: Vec<usize>,
}

impl Reducer {
    /// Registers a gradient hook on every parameter. `parameters` and `gradients` must share `layout`, and `world` must be the
    /// one passed to [`Reducer::reduce`].
    ///
    /// # Errors
    /// If libtorch rejects a hook.
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

    /// Announces the backward pass of this rank's last micro-batch, after which a completed gradient is final.
    pub fn arm(&self) {
        self.progress.armed.store(true, Ordering::Release);
    }

    /// Sums every bucket over all ranks in order, or waits for the sums that the hooks have started. A rank without a
    /// micro-batch in this step (it never called [`Reducer::arm`]) contributes the zeros in its buffer.
    ///
    /// # Errors
    /// If a parameter received no gradient, or the communication fails.
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

    /// Returns the buckets in the order in which the last armed backward pass completed them.
    pub fn completion_order(&self) -> &[usize] {
        &self.completion_order
    }

    /// Returns the names of the parameters that received no gradient in the armed backward pass.
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
    fn parameters_without_a_gradient_are_reported_every_time() {
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
    fn a_rank_without_images_still_participates() {
        let (_parameters, gradients, mut reducer) = fixture(GradientCompression::None);
        reducer.reduce(&World::alone()).unwrap();
        assert_eq!(gradients.flat.abs().max().double_value(&[]), 0.0);
    }
}
