//! A fixed, pseudo-random subset of a source, for quick trials on part of a data set.

use std::sync::Arc;

use crate::error::DataError;
use crate::random::Purpose;
use crate::source::{Encoding, Source, Split};

/// Some of the images of a source, in the source's order.
///
/// Which ones depends only on the split and the source's size: the first ones of a permutation of all images. Every run therefore
/// uses the same images, a smaller subset is part of a larger one, and a data set that is sorted by class keeps all of its classes.
pub struct Subset {
    whole: Arc<dyn Source>,
    indices: Vec<usize>,
}

impl Subset {
    /// Returns `images` of the images of `whole`, which is a `split`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn new(whole: Arc<dyn Source>, images: usize, split: Split) -> Self {
        assert!(images <= whole.len(), "{images} images of {}", whole.len());
        let mut indices: Vec<usize> = (0..whole.len()).collect();
        let of_split = u64::from(split == Split::Validation);
        Purpose::Subset.stream(&[of_split, whole.len() as u64]).shuffle(&mut indices);
        indices.truncate(images);
        indices.sort_unstable();
        Self { whole, indices }
    }
}

impl Source for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn classes(&self) -> usize {
        self.whole.classes()
    }

    fn class_names(&self) -> Option<&[String]> {
        self.whole.class_names()
    }

    fn name(&self, index: usize) -> String {
        self.whole.name(self.indices[index])
    }

    fn encoding(&self) -> Encoding {
        self.whole.encoding()
    }

    fn fetch(&self, index: usize, stored: &mut Vec<u8>) -> Result<i64, DataError> {
        self.whole.fetch(self.indices[index], stored)
    }
}
