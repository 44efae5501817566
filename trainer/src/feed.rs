//! The micro-batches of an epoch or an evaluation in their order, each on its way to the device while the one before is
//! computed with.

use anyhow::Result;
use tch::Tensor;

use crate::batches::Batches;

/// Hands out micro-batches.
pub(crate) struct Feed<'a> {
    batches: Batches<'a>,
    epoch: u64,
    /// The images of each that was not begun yet.
    upcoming: Box<dyn Iterator<Item = Vec<usize>> + 'a>,
}

impl<'a> Feed<'a> {
    /// Of the micro-batches `upcoming`, as lists of image indices, augmented as `epoch` says.
    pub(crate) fn new(
        batches: Batches<'a>,
        epoch: u64,
        upcoming: impl Iterator<Item = Vec<usize>> + 'a,
    ) -> Self {
        Self { batches, epoch, upcoming: Box::new(upcoming) }
    }

    /// The epoch that the micro-batches are of.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Assembles the next micro-batch, if there is one and it was not, and sends it on its way.
    pub(crate) fn prefetch(&mut self) -> Result<()> {
        if self.batches.under_way() > 0 {
            return Ok(());
        }
        match self.upcoming.next() {
            Some(indices) => self.batches.begin(&indices, self.epoch),
            None => Ok(()),
        }
    }

    /// The next micro-batch on the device: images `[n, c, h, w]` and labels `[n]`. None after the last.
    pub(crate) fn next(&mut self) -> Result<Option<(Tensor, Tensor)>> {
        self.prefetch()?;
        if self.batches.under_way() == 0 {
            return Ok(None);
        }
        self.batches.take().map(Some)
    }
}
