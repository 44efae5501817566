//! Reasons why an image cannot be decoded or encoded.

use crate::format::Format;
use crate::region::{MAX_PIXELS, Region, Size};

/// The reason why an image cannot be decoded or encoded. The caller knows which file it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// There are no bytes.
    #[error("the file is empty")]
    Empty,
    /// The bytes end before the last row that was asked for.
    #[error("{0} file ends before the image does")]
    Truncated(Format),
    /// The bytes break the rules of their format.
    #[error("damaged {format} file: {message}")]
    Corrupt {
        /// The format that the first bytes are of.
        format: Format,
        /// What the decoder says.
        message: String,
    },
    /// The bytes are of another format, or of a kind of a known format that is not supported.
    #[error("expected JPEG, PNG or WebP, found {0}")]
    Unsupported(String),
    /// The header says that width or height is 0.
    #[error("image of {}x{} has no pixels", .0.width, .0.height)]
    NoPixels(Size),
    /// The header announces more than [`MAX_PIXELS`].
    #[error("image of {}x{} has more than {MAX_PIXELS} pixels", .0.width, .0.height)]
    TooLarge(Size),
    /// Decoding would need more memory than is allowed: a progressive JPEG, an interlaced PNG or metadata of enormous size.
    #[error("{0} file needs too much memory to decode")]
    TooMuchMemory(Format),
    /// The region is empty or not inside the image.
    #[error(
        "region of {}x{} at ({}, {}) does not lie inside the image of {}x{}",
        .region.width, .region.height, .region.left, .region.top, .size.width, .size.height
    )]
    RegionOutside {
        /// The region that was asked for.
        region: Region,
        /// Size of the image.
        size: Size,
    },
    /// The image has a size that the format cannot store.
    #[error("cannot be encoded as {format}: {message}")]
    NotEncodable {
        /// The format that was asked for.
        format: Format,
        /// What the encoder says.
        message: String,
    },
}
