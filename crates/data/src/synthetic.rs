//! Images generated from a seed, of any shape and number, whose classes a network can learn.

use crate::error::DataError;
use crate::random::Purpose;
use crate::source::{Encoding, ImageShape, Source, Split};

/// Cells of a class's pattern along each side of the image.
const CELLS: usize = 4;

/// Properties of a synthetic data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntheticSettings {
    /// Number of images in the split.
    pub images: usize,
    /// Shape of every image.
    pub shape: ImageShape,
    /// Number of classes; image i has class i mod classes.
    pub classes: usize,
    /// The data set's seed.
    pub seed: u64,
}

/// A synthetic data set. Each class is a random pattern of 4x4 cells per channel, shared by both splits; an image is the mean
/// of its class's pattern and of its own noise. Only the patterns are stored.
#[derive(Debug)]
pub struct SyntheticDataset {
    settings: SyntheticSettings,
    split: Split,
    /// The patterns' values, by class, then row, column and channel of the cell.
    patterns: Vec<u8>,
    /// The cell of each column of pixels.
    cell_of_column: Vec<usize>,
}

impl SyntheticDataset {
    /// Prepares the patterns.
    ///
    /// # Panics
    /// If there are no classes or a side of the image is 0.
    pub fn new(settings: SyntheticSettings, split: Split) -> Self {
        assert!(settings.classes > 0 && settings.shape.bytes() > 0, "impossible {settings:?}");
        let mut patterns = vec![0; settings.classes * CELLS * CELLS * settings.shape.channels];
        Purpose::SyntheticPattern.stream(&[settings.seed]).fill(&mut patterns);
        let width = settings.shape.width;
        let cell_of_column = (0..width).map(|x| x * CELLS / width).collect();
        Self { settings, split, patterns, cell_of_column }
    }

    /// Returns the cells (column, channel) of class `class` for row `y` of pixels.
    fn pattern_row(&self, class: usize, y: usize) -> &[u8] {
        let row_bytes = CELLS * self.settings.shape.channels;
        let row = class * CELLS + y * CELLS / self.settings.shape.height;
        &self.patterns[row * row_bytes..(row + 1) * row_bytes]
    }
}

impl Source for SyntheticDataset {
    fn len(&self) -> usize {
        self.settings.images
    }

    fn classes(&self) -> usize {
        self.settings.classes
    }

    fn name(&self, index: usize) -> String {
        format!("synthetic image {index}")
    }

    fn encoding(&self) -> Encoding {
        Encoding::Pixels(self.settings.shape)
    }

    fn fetch(&self, index: usize, stored: &mut Vec<u8>) -> Result<i64, DataError> {
        let ImageShape { channels, width, .. } = self.settings.shape;
        assert!(index < self.len(), "image {index} of {}", self.len());
        stored.resize(self.settings.shape.bytes(), 0);
        let class = index % self.settings.classes;
        let key = [self.settings.seed, self.split as u64, index as u64];
        Purpose::SyntheticNoise.stream(&key).fill(stored);
        for (y, row_wc) in stored.chunks_exact_mut(width * channels).enumerate() {
            let pattern = self.pattern_row(class, y);
            for (pixel, &cell) in row_wc.chunks_exact_mut(channels).zip(&self.cell_of_column) {
                for (value, &colour) in pixel.iter_mut().zip(&pattern[cell * channels..]) {
                    *value = value.midpoint(colour);
                }
            }
        }
        Ok(class as i64)
    }
}
