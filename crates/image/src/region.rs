//! Sizes and regions in pixels, and the limits that hold for all formats.

use crate::error::ImageError;

/// Largest number of pixels of an image that is decoded: the number from which Pillow refuses one as a decompression bomb.
pub const MAX_PIXELS: u64 = 178_956_970;

/// Most bytes that a decoder may take beside the pixels that it returns.
pub(crate) const MAX_DECODER_BYTES: usize = 512 << 20;

/// Memory beyond this is given back after the image that needed it.
pub(crate) const KEPT_BYTES: usize = 64 << 20;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels in a row.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

/// A rectangle in an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Number of columns left of it.
    pub left: u32,
    /// Number of rows above it.
    pub top: u32,
    /// Pixels in a row.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

impl Size {
    /// Number of bytes of an image of this size.
    pub(crate) fn bytes(self, channels: usize) -> usize {
        self.width as usize * self.height as usize * channels
    }

    /// This size, if an image of it may be decoded.
    pub(crate) fn checked(self) -> Result<Self, ImageError> {
        match u64::from(self.width) * u64::from(self.height) {
            0 => Err(ImageError::NoPixels(self)),
            1..=MAX_PIXELS => Ok(self),
            _ => Err(ImageError::TooLarge(self)),
        }
    }
}

impl Region {
    /// The size of the rectangle.
    pub fn size(self) -> Size {
        Size { width: self.width, height: self.height }
    }

    /// The part of an image that is asked for: `region`, or all of it.
    pub(crate) fn within(region: Option<Self>, size: Size) -> Result<Self, ImageError> {
        let Some(region) = region else {
            return Ok(Self { left: 0, top: 0, width: size.width, height: size.height });
        };
        let fits = |first: u32, length: u32, limit: u32| {
            length > 0 && first.checked_add(length).is_some_and(|end| end <= limit)
        };
        if fits(region.left, region.width, size.width) && fits(region.top, region.height, size.height) {
            Ok(region)
        } else {
            Err(ImageError::RegionOutside { region, size })
        }
    }

    /// This region of an image that is scaled to 1/`denominator`: every pixel that it touches.
    pub(crate) fn scaled(self, denominator: u32) -> Self {
        let (left, top) = (self.left / denominator, self.top / denominator);
        Self {
            left,
            top,
            width: (self.left + self.width).div_ceil(denominator) - left,
            height: (self.top + self.height).div_ceil(denominator) - top,
        }
    }
}
