//! Delivers the micro-batches of an epoch or an evaluation in order. The copy of each overlaps with the computation on the
//! previous one.

use anyhow::Result;
use tch::Tensor;

use crate::batches::Batches;

/// An ordered stream of micro-batches, prefetched one ahead.
pub(crate) struct Feed<'a> {
    source: Source<'a>,
    epoch: u64,
}

enum Source<'a> {
    /// Micro-batches of a data set, assembled one ahead.
    Streamed {
        batches: Box<Batches<'a>>,
        /// Image indices of the micro-batches that are not yet assembled.
        upcoming: Box<dyn Iterator<Item = Vec<usize>> + 'a>,
        /// Why the next micro-batch could not be assembled.
        failure: Option<anyhow::Error>,
    },
    /// The same micro-batch every time, already on the device: for measuring a step without a loader.
    Resident { images_nchw: Tensor, labels: Tensor },
}

impl<'a> Feed<'a> {
    /// Streams the micro-batches `upcoming`, each a list of image indices, with the augmentation of `epoch`.
    pub(crate) fn new(
        batches: Batches<'a>,
        epoch: u64,
        upcoming: impl Iterator<Item = Vec<usize>> + 'a,
    ) -> Self {
        let (batches, upcoming) = (Box::new(batches), Box::new(upcoming));
        Self { source: Source::Streamed { batches, upcoming, failure: None }, epoch }
    }

    /// Repeats one micro-batch without end.
    pub(crate) fn resident(images_nchw: Tensor, labels: Tensor) -> Self {
        Self { source: Source::Resident { images_nchw, labels }, epoch: 0 }
    }

    /// Returns the epoch that the micro-batches belong to.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Assembles the next micro-batch and starts its host-to-device copy, unless one is pending. [`next`](Self::next) reports
    /// an image that cannot be read, so that the steps before it are not lost.
    pub(crate) fn prefetch(&mut self) {
        let Source::Streamed { batches, upcoming, failure } = &mut self.source else { return };
        if batches.pending() == 0
            && failure.is_none()
            && let Some(indices) = upcoming.next()
        {
            *failure = batches.begin(&indices, self.epoch).err();
        }
    }

    /// Returns the next micro-batch on the device: images `[n, c, h, w]` and labels `[n]`; `None` after the last.
    ///
    /// # Errors
    /// An image in it that cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<(Tensor, Tensor)>> {
        self.prefetch();
        match &mut self.source {
            Source::Streamed { batches, failure, .. } => match failure.take() {
                Some(failure) => Err(failure),
                None if batches.pending() == 0 => Ok(None),
                None => batches.take().map(Some),
            },
            Source::Resident { images_nchw, labels } => {
                Ok(Some((images_nchw.shallow_clone(), labels.shallow_clone())))
            }
        }
    }
}
