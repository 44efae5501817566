//! What ranks agree on in a step, as one small vector that stays on the device until somebody reads it.

use anyhow::Result;
use regatta_comm::World;
use regatta_torch_ext::{Event, Stream, copy_non_blocking, pin_memory};
use tch::{Device, Kind, Tensor};

/// What a rank asks of all, for after the step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// To stop with a checkpoint.
    pub(crate) stop: bool,
    /// To save a checkpoint: it is time.
    pub(crate) save: bool,
}

impl Asked {
    /// What either asks for.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { stop: self.stop || other.stop, save: self.save || other.save }
    }
}

/// What all ranks know after a step, from the same reduced numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StepOutcome {
    /// Loss summed over the images of the global batch.
    pub(crate) loss_sum: f64,
    /// Images of the global batch whose class had the largest logit.
    pub(crate) hits: u64,
    /// What some rank asked for.
    pub(crate) asked: Asked,
    /// The gradients were finite and the parameters moved.
    pub(crate) updated: bool,
}

/// Sums a step's loss and hits and counts the ranks that ask for something, in float64, which holds such counts exactly:
/// `[loss_sum, hits, stops, saves]` on the device of `sums`, this rank's loss and hits. The sum of `batch_statistics` travels
/// with it.
pub(crate) fn agree(
    sums: &Tensor,
    asked: Asked,
    batch_statistics: &mut Tensor,
    world: &World,
) -> Result<Tensor> {
    let count = |asks: bool| Tensor::full([1], f64::from(u8::from(asks)), (Kind::Double, sums.device()));
    let mut control = Tensor::cat(&[sums, &count(asked.stop), &count(asked.save)], 0);
    world.all_reduce_together(&mut [batch_statistics, &mut control])?;
    Ok(control)
}

/// The outcome of a step that a GPU may still be busy with.
#[derive(Debug)]
pub(crate) struct Reading {
    /// `[loss_sum, hits, stops, saves, updated]` on the host.
    values: Tensor,
    /// When they are there; none on a CPU, where they are at once.
    arrived: Option<Event>,
}

impl Reading {
    /// Begins to bring the outcome to the host; a GPU is not waited for. `updated` is 1 or 0.
    pub(crate) fn begin(control: &Tensor, updated: &Tensor) -> Result<Self> {
        let updated = updated.to_kind(Kind::Double).view([1]);
        let values = Tensor::cat(&[control, &updated], 0);
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

    /// The outcome; waits for the device where it is not there yet.
    pub(crate) fn outcome(&self) -> Result<StepOutcome> {
        if let Some(arrived) = &self.arrived {
            arrived.synchronize()?;
        }
        let value = |index: i64| self.values.double_value(&[index]);
        let asked = Asked { stop: value(2) > 0.0, save: value(3) > 0.0 };
        Ok(StepOutcome { loss_sum: value(0), hits: value(1) as u64, asked, updated: value(4) > 0.0 })
    }
}
