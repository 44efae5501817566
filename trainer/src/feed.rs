//! The micro-batches of an epoch or an evaluation in their order, each on its way to the device while the one before is
//! computed with.

use anyhow::Result;
use tch::Tensor;

use crate::batches::Batches;

/// Hands out micro-batches.
pub(crate) struct Feed<'a> {
    source: Source<'a>,
    epoch: u64,
}

enum Source<'a> {
    /// Assembled one ahead.
    Streamed {
        batches: Box<Batches<'a>>,
        /// The images of each that was not begun yet.
        upcoming: Box<dyn Iterator<Item = Vec<usize>> + 'a>,
        /// Why the next one cannot be had.
        failure: Option<anyhow::Error>,
    },
    /// Always the same one, which lies on the device: for measuring a step without a loader.
    Resident { images_nchw: Tensor, labels: Tensor },
}

impl<'a> Feed<'a> {
    /// Of the micro-batches `upcoming`, as lists of image indices, augmented as `epoch` says.
    pub(crate) fn new(
        batches: Batches<'a>,
        epoch: u64,
        upcoming: impl Iterator<Item = Vec<usize>> + 'a,
    ) -> Self {
        let (batches, upcoming) = (Box::new(batches), Box::new(upcoming));
        Self { source: Source::Streamed { batches, upcoming, failure: None }, epoch }
    }

    /// Of one micro-batch without end.
    pub(crate) fn resident(images_nchw: Tensor, labels: Tensor) -> Self {
        Self { source: Source::Resident { images_nchw, labels }, epoch: 0 }
    }

    /// The epoch that the micro-batches are of.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Assembles the next micro-batch, if there is one and it was not, and sends it on its way. An image that cannot be read
    /// is the error of [`next`](Self::next): the steps before it are not lost.
    pub(crate) fn prefetch(&mut self) {
        let Source::Streamed { batches, upcoming, failure } = &mut self.source else { return };
        if batches.under_way() == 0
            && failure.is_none()
            && let Some(indices) = upcoming.next()
        {
            *failure = batches.begin(&indices, self.epoch).err();
        }
    }

    /// The next micro-batch on the device: images `[n, c, h, w]` and labels `[n]`. None after the last.
    ///
    /// # Errors
    /// An image of it that cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<(Tensor, Tensor)>> {
        self.prefetch();
        match &mut self.source {
            Source::Streamed { batches, failure, .. } => match failure.take() {
                Some(failure) => Err(failure),
                None if batches.under_way() == 0 => Ok(None),
                None => batches.take().map(Some),
            },
            Source::Resident { images_nchw, labels } => {
                Ok(Some((images_nchw.shallow_clone(), labels.shallow_clone())))
            }
        }
    }
}
