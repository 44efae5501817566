//! Encoding of RGB bytes.

use crate::error::ImageError;
use crate::format::Format;
use crate::jpeg::{self, Kind};
use crate::region::Size;

/// Encodes RGB bytes as PNG, without loss.
///
/// # Errors
///
/// The size is 0, or more than PNG can store.
///
/// # Panics
///
/// If `rgb_hwc` does not have the pixels of `size`.
pub fn encode_png(rgb_hwc: &[u8], size: Size) -> Result<Vec<u8>, ImageError> {
    assert_eq!(rgb_hwc.len(), size.bytes(3), "pixels of an image of {}x{}", size.width, size.height);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, size.width, size.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| {
            writer.write_image_data(rgb_hwc)?;
            writer.finish()
        })
        .map_err(|error| ImageError::NotEncodable { format: Format::Png, message: error.to_string() })?;
    Ok(bytes)
}

/// Encodes RGB bytes as baseline JPEG with chroma at half the resolution (4:2:0) and optimised Huffman tables. `quality` is
/// libjpeg's and Pillow's, 1 to 100.
///
/// # Errors
///
/// Width or height is 0 or more than 65,500.
///
/// # Panics
///
/// If `rgb_hwc` does not have the pixels of `size`.
pub fn encode_jpeg(rgb_hwc: &[u8], size: Size, quality: u8) -> Result<Vec<u8>, ImageError> {
    let kind = Kind { quality: quality.into(), horizontal: 2, vertical: 2, progressive: 0 };
    jpeg::encode(rgb_hwc, size, kind)
}
