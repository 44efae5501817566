//! Reads the images of a split for micro-batches: fetches them from their source and transforms them.

use crate::error::DataError;
use crate::source::{ImageShape, Source, Split};
use crate::transform::{Scratch, Transform};

/// A source and the transform of its images.
#[derive(Clone, Copy)]
pub struct Images<'a> {
    source: &'a dyn Source,
    split: Split,
    transform: Transform,
}

impl<'a> Images<'a> {
    /// Combines `source`, the part `split` of its data set, with a transform.
    pub fn new(source: &'a dyn Source, split: Split, transform: Transform) -> Self {
        Self { source, split, transform }
    }

    /// Returns the shape of every image.
    pub fn shape(&self) -> ImageShape {
        self.transform.output()
    }

    /// Writes image `index`, transformed for `epoch`, to `pixels_hwc` (bytes, row by row, channels innermost) and returns its
    /// label.
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
    ) -> Result<i64, DataError> {
        let mut read = || {
            let label = self.source.fetch(index, &mut scratch.stored)?;
            self.transform.apply((epoch, index), scratch, pixels_hwc)?;
            Ok(label)
        };
        read().map_err(|source: DataError| DataError::Image {
            split: self.split,
            index,
            name: self.source.name(index),
            source: Box::new(source),
        })
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
        places.map(|(&index, pixels_hwc)| self.read((epoch, index), scratch, pixels_hwc)).collect()
    }
}
