//! Agrees on a step's outcome across ranks, as one small vector that stays on the device until it is read.

use anyhow::Result;
use regatta_comm::World;
use regatta_torch_ext::{Event, Stream, copy_non_blocking, pin_memory};
use tch::{Device, Kind, Tensor};

/// What a rank requests of all ranks after the step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    /// Stop with a checkpoint.
    pub(crate) stop: bool,
    /// Save a checkpoint, since one is due by the clock.
    pub(crate) save: bool,
}

impl Requests {
    /// Returns the union of both.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { stop: self.stop || other.stop, save: self.save || other.save }
    }
}

/// The outcome of a step, equal on all ranks since it comes from the same reduced numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StepOutcome {
    /// Loss summed over the images of the global batch.
    pub(crate) loss_sum: f64,
    /// Images of the global batch whose label had the largest logit.
    pub(crate) hits: u64,
    /// Images of the global batch that could not be read and were replaced.
    pub(crate) bad_images: u64,
    /// What some rank requested.
    pub(crate) requests: Requests,
    /// Whether the gradients were finite and the parameters were updated.
    pub(crate) updated: bool,
    /// L2 norm of the gradient before clipping.
    pub(crate) grad_norm: f64,
    /// Loss scale after the step, with fp16.
    pub(crate) loss_scale: Option<f64>,
}

/// All-reduces a step's loss and hits, the number of ranks that request a stop or a save, and that of bad images. Returns
/// `[loss_sum, hits, stops, saves, bad_images]` in float64, which holds such counts exactly, on the device of `sums`, this rank's loss and hits. `batch_statistics`
/// are reduced together with it.
///
/// # Errors
/// A failed collective.
pub(crate) fn agree(
    sums: &Tensor,
    requests: Requests,
    bad_images: u64,
    batch_statistics: &mut Tensor,
    world: &World,
) -> Result<Tensor> {
    let counts = [u64::from(requests.stop), u64::from(requests.save), bad_images];
    let counts = counts.map(|count| Tensor::full([1], count as f64, (Kind::Double, sums.device())));
    let [stop, save, bad_images] = &counts;
    let mut control = Tensor::cat(&[sums, stop, save, bad_images], 0);
    world.all_reduce_together(&mut [batch_statistics, &mut control])?;
    Ok(control)
}

/// The outcome of a step that a GPU may not have finished.
#[derive(Debug)]
pub(crate) struct PendingOutcome {
    /// `[loss_sum, hits, stops, saves, bad_images, updated, grad_norm]` on the host, and the loss scale if there is one.
    values: Tensor,
    /// The event after the copy to the host; none on a CPU, where the values are there at once.
    arrived: Option<Event>,
}

impl PendingOutcome {
    /// Starts copying the outcome to the host, without waiting for the device. `updated` is 1 or 0; `grad_norm` and
    /// `loss_scale` have one element.
    ///
    /// # Errors
    /// Device errors.
    pub(crate) fn begin(
        control: &Tensor,
        updated: &Tensor,
        grad_norm: &Tensor,
        loss_scale: Option<&Tensor>,
    ) -> Result<Self> {
        let element = |tensor: &Tensor| tensor.to_kind(Kind::Double).view([1]);
        let of_update = [Some(updated), Some(grad_norm), loss_scale].into_iter().flatten().map(element);
        let values: Vec<_> = [control.shallow_clone()].into_iter().chain(of_update).collect();
        let values = Tensor::cat(&values, 0);
        let device = values.device();
        if device == Device::Cpu {
            return Ok(Self { values, arrived: None });
        }
        let mut host = pin_memory(&Tensor::zeros(values.size(), (Kind::Double, Device::Cpu)))?;
        let stream = Stream::current(device)?;
        copy_non_blocking(&mut host, &values, stream)?;
        let arrived = Event::after(stream, false)?;
        Ok(Self { values: host, arrived: Some(arrived) })
    }

    /// Returns the outcome; waits for the copy to finish.
    ///
    /// # Errors
    /// Device errors.
    pub(crate) fn outcome(&self) -> Result<StepOutcome> {
        if let Some(arrived) = &self.arrived {
            arrived.synchronize()?;
        }
        let value = |index: i64| self.values.double_value(&[index]);
        let requests = Requests { stop: value(2) > 0.0, save: value(3) > 0.0 };
        Ok(StepOutcome {
            loss_sum: value(0),
            hits: value(1) as u64,
            bad_images: value(4) as u64,
            requests,
            updated: value(5) > 0.0,
            grad_norm: value(6),
            loss_scale: (self.values.size()[0] > 7).then(|| value(7)),
        })
    }
}
