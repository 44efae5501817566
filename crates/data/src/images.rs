//! Reads the images of a split for micro-batches: fetches them from their source and transforms them.

use std::sync::Arc;

use crate::bad_image::{BadImage, MAX_ATTEMPTS, OnBadImage, replacement};
use crate::device_draw::{DeviceDraw, DeviceWork};
use crate::error::DataError;
use crate::source::{ImageShape, Source, Split};
use crate::transform::{Scratch, Transform};

/// A source and the transform of its images.
#[derive(Clone)]
pub struct Images {
    source: Arc<dyn Source>,
    split: Split,
    transform: Transform,
}

/// What belongs to an image besides its pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Labelled {
    /// Its class.
    pub label: i64,
    /// What the device still has to do to it.
    pub draw: DeviceDraw,
}

impl Images {
    /// Combines `source`, the part `split` of its data set, with a transform.
    pub fn new(source: Arc<dyn Source>, split: Split, transform: Transform) -> Self {
        Self { source, split, transform }
    }

    /// Returns the part of the data set that these images are.
    pub fn split(&self) -> Split {
        self.split
    }

    /// Returns the operations that the transform leaves to the device.
    pub fn device_work(&self) -> DeviceWork {
        self.transform.device_work()
    }

    /// Returns the shape of every image.
    pub fn shape(&self) -> ImageShape {
        self.transform.output()
    }

    /// Writes image `index`, transformed for `epoch`, to `pixels_hwc` (bytes, row by row, channels innermost) and returns its
    /// label and what the device has to do to it.
    ///
    /// # Errors
    /// An image that cannot be read; the error names it.
    ///
    /// # Panics
    /// If there is no such image, or the buffer does not have the length of one image.
    pub fn read(
        &self,
        (epoch, index): (u64, usize),
        scratch: &mut Scratch,
        pixels_hwc: &mut [u8],
    ) -> Result<Labelled, DataError> {
        let mut read = || {
            let label = self.source.fetch(index, &mut scratch.stored)?;
            let draw = self.transform.apply((epoch, index), scratch, pixels_hwc)?;
            Ok(Labelled { label, draw })
        };
        read().map_err(|source: DataError| DataError::Image {
            split: self.split,
            index,
            name: self.source.name(index),
            source: Box::new(source),
        })
    }

    /// Like [`read`](Self::read), but replaces an image that cannot be read as `on_bad_image` says. The replacement depends
    /// only on `index`. Returns the bad images as well.
    ///
    /// # Errors
    /// An image that cannot be read and is not replaced.
    ///
    /// # Panics
    /// Like [`read`](Self::read).
    pub fn read_or_replace(
        &self,
        (epoch, index): (u64, usize),
        on_bad_image: OnBadImage,
        scratch: &mut Scratch,
        pixels_hwc: &mut [u8],
    ) -> Result<(Labelled, Vec<BadImage>), DataError> {
        let mut bad = Vec::new();
        let mut candidate = index;
        for attempt in 1..=MAX_ATTEMPTS {
            match self.read((epoch, candidate), scratch, pixels_hwc) {
                Ok(labelled) => return Ok((labelled, bad)),
                Err(error) if on_bad_image == OnBadImage::Error => return Err(error),
                Err(error) => bad.push(BadImage { split: self.split, index: candidate, error }),
            }
            candidate = replacement(index, attempt, self.source.len());
        }
        let source = Box::new(bad.swap_remove(0).error);
        Err(DataError::NoReplacement { attempts: MAX_ATTEMPTS - 1, source })
    }

    /// Writes the images `indices` one after the other to `images_nhwc`, and returns their labels.
    ///
    /// # Errors
    /// The first image that cannot be read.
    ///
    /// # Panics
    /// If there is no such image, or the buffer does not have the length of the images.
    pub fn read_all(
        &self,
        epoch: u64,
        indices: &[usize],
        scratch: &mut Scratch,
        images_nhwc: &mut [u8],
    ) -> Result<Vec<i64>, DataError> {
        let image_bytes = self.shape().bytes();
        assert_eq!(images_nhwc.len(), indices.len() * image_bytes, "a buffer as long as its images");
        let places = indices.iter().zip(images_nhwc.chunks_exact_mut(image_bytes));
        let labels = places.map(|(&index, pixels_hwc)| {
            let Labelled { label, .. } = self.read((epoch, index), scratch, pixels_hwc)?;
            Ok(label)
        });
        labels.collect()
    }
}
