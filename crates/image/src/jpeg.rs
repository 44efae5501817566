//! Decoding of JPEG: which part of the image is decoded, and at which scale.

mod shim;
#[cfg(test)]
mod tests;

use crate::decoder::JpegMode;
use crate::error::ImageError;
use crate::region::{Region, Size};
use shim::{Decompressor, Part};

pub(crate) use shim::{Kind, encode};

/// libjpeg's decompressor of a thread, with memory for a row.
pub(crate) struct JpegDecoder {
    decompressor: Decompressor,
    row: Vec<u8>,
}

impl JpegDecoder {
    pub(crate) fn new() -> Self {
        Self { decompressor: Decompressor::new(), row: Vec::new() }
    }

    pub(crate) fn size(&mut self, bytes: &[u8]) -> Result<Size, ImageError> {
        self.decompressor.open(bytes)?.size().checked()
    }

    pub(crate) fn decode(
        &mut self,
        bytes: &[u8],
        region: Option<Region>,
        mode: JpegMode,
        target: Option<Size>,
        rgb_hwc: &mut Vec<u8>,
    ) -> Result<Size, ImageError> {
        let image = self.decompressor.open(bytes)?;
        let region = Region::within(region, image.size().checked()?)?;
        let fast = mode == JpegMode::Fast;
        let denominator = if fast { denominator(region, target) } else { 1 };
        let part = Part { region: region.scaled(denominator), denominator, fast };
        rgb_hwc.resize(part.region.size().bytes(3), 0);
        image.decode(part, &mut self.row, rgb_hwc)?;
        Ok(part.region.size())
    }
}

/// The smallest scale at which the region is at least as large as the target.
fn denominator(region: Region, target: Option<Size>) -> u32 {
    let Some(target) = target else { return 1 };
    let remains_large = |denominator: &u32| {
        u64::from(target.width) * u64::from(*denominator) <= u64::from(region.width)
            && u64::from(target.height) * u64::from(*denominator) <= u64::from(region.height)
    };
    [8, 4, 2].into_iter().find(remains_large).unwrap_or(1)
}
