//! Delivers micro-batches in order, on the device. The loader reads several of them ahead, across the ends of epochs and
//! evaluations, and the copy of the next one overlaps with the computation on the current one.

mod loaded;
mod prepared;

use anyhow::Result;
use regatta_data::{LoaderSettings, Split};
use regatta_settings::Recipe;
use tch::{Device, Tensor};

use self::loaded::Loaded;
use crate::datasets::Datasets;

/// An ordered stream of micro-batches.
pub(crate) struct Feed {
    source: Source,
    /// Epoch of the current segment.
    epoch: u64,
    /// Images replaced in the micro-batches that were taken, since the last [`take_replaced`](Self::take_replaced).
    replaced: u64,
}

enum Source {
    /// Micro-batches of a data set, loaded ahead.
    Loaded(Box<Loaded>),
    /// The same micro-batch every time, already on the device: for measuring a step without a loader.
    Resident { images_nchw: Tensor, labels: Tensor },
}

/// What the micro-batches of a segment are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The steps of an epoch.
    Training,
    /// BatchNorm statistics over a sample of training images.
    PreciseStatistics,
    /// An evaluation.
    Evaluation,
}

impl Purpose {
    /// Returns the part of the data set that the images are of, and whose transforms they get.
    pub(crate) fn split(self) -> Split {
        match self {
            Self::Training | Self::PreciseStatistics => Split::Train,
            Self::Evaluation => Split::Validation,
        }
    }
}

/// Micro-batches that are consumed together: the steps of an epoch, or an evaluation.
pub(crate) struct Segment {
    pub(crate) purpose: Purpose,
    pub(crate) epoch: u64,
    /// Image indices of each micro-batch.
    pub(crate) micro_batches: Box<dyn Iterator<Item = Vec<usize>>>,
}

impl Feed {
    /// Streams `segments`, with the recipe's transforms. [`begin`](Self::begin) starts each of them.
    ///
    /// # Errors
    /// Threads that cannot be started, and device errors.
    pub(crate) fn new(
        recipe: &Recipe,
        datasets: &Datasets,
        settings: LoaderSettings,
        device: Device,
        segments: impl Iterator<Item = Result<Segment>> + 'static,
    ) -> Result<Self> {
        let loaded = Loaded::new(recipe, datasets, settings, device, Box::new(segments))?;
        Ok(Self { source: Source::Loaded(Box::new(loaded)), epoch: 0, replaced: 0 })
    }

    /// Repeats one micro-batch without end.
    pub(crate) fn resident(images_nchw: Tensor, labels: Tensor) -> Self {
        Self { source: Source::Resident { images_nchw, labels }, epoch: 0, replaced: 0 }
    }

    /// Moves to the next segment of this purpose and epoch. What is left of earlier segments is dropped.
    ///
    /// # Errors
    /// If there is no such segment, or its order of images cannot be computed.
    pub(crate) fn begin(&mut self, purpose: Purpose, epoch: u64) -> Result<()> {
        if let Source::Loaded(loaded) = &mut self.source {
            loaded.begin(purpose, epoch)?;
        }
        self.epoch = epoch;
        Ok(())
    }

    /// Returns the epoch that the micro-batches belong to.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Requests micro-batches from the loader as far ahead as allowed, and starts the host-to-device copy of the next one if it
    /// is loaded. Does not wait. [`next`](Self::next) reports an image that cannot be read, so that the steps before it are
    /// not lost.
    pub(crate) fn prefetch(&mut self) {
        if let Source::Loaded(loaded) = &mut self.source {
            loaded.prefetch();
        }
    }

    /// Waits until the next micro-batch is loaded and its copy has begun, or has failed.
    pub(crate) fn wait(&mut self) {
        if let Source::Loaded(loaded) = &mut self.source {
            loaded.wait();
        }
    }

    /// Returns the next micro-batch of the current segment on the device: images `[n, c, h, w]` and labels `[n]`; `None` after
    /// the last.
    ///
    /// # Errors
    /// An image in it that cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<(Tensor, Tensor)>> {
        self.wait();
        match &mut self.source {
            Source::Loaded(loaded) => {
                let Some(taken) = loaded.take()? else { return Ok(None) };
                self.replaced += taken.replaced;
                Ok(Some((taken.images_nchw, taken.labels)))
            }
            Source::Resident { images_nchw, labels } => {
                Ok(Some((images_nchw.shallow_clone(), labels.shallow_clone())))
            }
        }
    }

    /// Returns the number of images replaced in the micro-batches taken since the last call.
    pub(crate) fn take_replaced(&mut self) -> u64 {
        std::mem::take(&mut self.replaced)
    }
}
