//! What happens to images that cannot be read: the run ends, or another image takes the place.

use crate::error::DataError;
use crate::random::Purpose;
use crate::source::Split;

/// What to do with an image that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum OnBadImage {
    /// End the run.
    #[default]
    Error,
    /// Train on another image in its place.
    Skip {
        /// Largest fraction of a split's images that may be replaced.
        max_fraction: f64,
    },
}

impl OnBadImage {
    /// Checks that the number of replaced images of a split of `images` images is allowed.
    ///
    /// # Errors
    /// Too many replaced images.
    pub fn check(self, split: Split, bad: u64, images: usize) -> Result<(), DataError> {
        match self {
            Self::Skip { max_fraction } if bad as f64 > max_fraction * images as f64 => {
                Err(DataError::TooManyBadImages { split, bad, images, max_fraction })
            }
            _ => Ok(()),
        }
    }
}

/// An image that could not be read and was replaced.
#[derive(Debug)]
pub struct BadImage {
    /// The part of the data set.
    pub split: Split,
    /// The image, counted from 0.
    pub index: usize,
    /// Why it cannot be read; names the image.
    pub error: DataError,
}

/// Number of images tried: the one asked for, and those chosen in its place.
pub(crate) const MAX_ATTEMPTS: u64 = 8;

/// Returns the image that takes the place of image `index` of a split of `images` images in attempt number `attempt`.
pub(crate) fn replacement(index: usize, attempt: u64, images: usize) -> usize {
    Purpose::Replacement.stream(&[index as u64, attempt]).below(images as u64) as usize
}
