//! Decoding of WebP to what Pillow's `convert("RGB")` gives.

use std::io::{Cursor, ErrorKind};

use image_webp::{DecodingError, WebPDecoder};

use crate::decoder::copy_region;
use crate::error::ImageError;
use crate::format::Format;
use crate::region::{MAX_DECODER_BYTES, Region, Size};

type Decoder<'a> = WebPDecoder<Cursor<&'a [u8]>>;

/// The size in the header.
pub(crate) fn size(bytes: &[u8]) -> Result<Size, ImageError> {
    open(bytes).map(|(_, size)| size)
}

/// Decodes a region to RGB; of an animation, of the first frame. `pixels` is memory for the complete image.
pub(crate) fn decode(
    bytes: &[u8],
    region: Option<Region>,
    pixels: &mut Vec<u8>,
    rgb_hwc: &mut Vec<u8>,
) -> Result<Size, ImageError> {
    let (mut decoder, size) = open(bytes)?;
    let region = Region::within(region, size)?;
    decoder.set_memory_limit(MAX_DECODER_BYTES);
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    pixels.resize(size.bytes(channels), 0);
    decoder.read_image(pixels).map_err(error)?;
    rgb_hwc.resize(region.size().bytes(3), 0);
    copy_region(pixels, size.width, channels, region, rgb_hwc);
    Ok(region.size())
}

fn open(bytes: &[u8]) -> Result<(Decoder<'_>, Size), ImageError> {
    let decoder = Decoder::new(Cursor::new(bytes)).map_err(error)?;
    let (width, height) = decoder.dimensions();
    let size = Size { width, height }.checked()?;
    Ok((decoder, size))
}

fn error(error: DecodingError) -> ImageError {
    match error {
        DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            ImageError::Truncated(Format::WebP)
        }
        DecodingError::MemoryLimitExceeded => ImageError::TooMuchMemory(Format::WebP),
        error => ImageError::Corrupt { format: Format::WebP, message: error.to_string() },
    }
}
