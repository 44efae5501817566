//! The decoder of a thread, which hands an image to the decoder of its format.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ImageError;
use crate::format::Format;
use crate::jpeg::JpegDecoder;
use crate::region::{KEPT_BYTES, Region, Size};
use crate::{png_image, webp_image};

/// What the first bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The file's format.
    pub format: Format,
    /// Size of the image as it is stored; EXIF's orientation is ignored.
    pub size: Size,
}

/// How JPEGs are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JpegMode {
    /// Every pixel is that of a complete decode with libjpeg's accurate DCT.
    Exact,
    /// Decodes with the fast DCT, and at 1/2, 1/4 or 1/8 of the size if the region remains at least as large as the target.
    Fast,
}

/// Decodes images of any supported format; one for each thread.
pub struct Decoder {
    jpeg: JpegDecoder,
    /// A complete image, for the formats that cannot be decoded in part.
    pixels: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder that holds no image memory yet.
    pub fn new() -> Self {
        Self { jpeg: JpegDecoder::new(), pixels: Vec::new() }
    }

    /// Reads format and size without decoding.
    ///
    /// # Errors
    ///
    /// The format is not supported, the header is damaged, or the size is 0 or more than [`MAX_PIXELS`](crate::MAX_PIXELS).
    pub fn header(&mut self, bytes: &[u8]) -> Result<Header, ImageError> {
        let format = Format::of(bytes)?;
        let size = match format {
            Format::Jpeg => self.jpeg.size(bytes),
            Format::Png => png_image::size(bytes),
            Format::WebP => webp_image::size(bytes),
        };
        Ok(Header { format, size: size? })
    }

    /// Decodes `region`, or everything, to RGB. `rgb_hwc` is resized to the pixels of the returned size, three bytes each.
    ///
    /// The returned size is the region's, except that a JPEG in [`JpegMode::Fast`] may come at 1/2, 1/4 or 1/8 of it, but never
    /// smaller than `target`, the size that the caller will resize it to. Grayscale becomes three equal channels, alpha is
    /// dropped, CMYK is converted as torchvision converts it; of an animation the first frame is decoded.
    ///
    /// JPEGs and PNGs are decoded down to the region's last row only; damage below it is not found.
    ///
    /// # Errors
    ///
    /// As for [`header`](Self::header); the image is truncated or damaged within the rows that were decoded, needs too much
    /// memory, or does not contain the region. `rgb_hwc` then holds anything.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        region: Option<Region>,
        mode: JpegMode,
        target: Option<Size>,
        rgb_hwc: &mut Vec<u8>,
    ) -> Result<Size, ImageError> {
        match Format::of(bytes)? {
            Format::Jpeg => self.jpeg.decode(bytes, region, mode, target, rgb_hwc),
            Format::Png => self.keeping_little(|pixels| png_image::decode(bytes, region, pixels, rgb_hwc)),
            Format::WebP => self.keeping_little(|pixels| webp_image::decode(bytes, region, pixels, rgb_hwc)),
        }
    }

    /// Lends the memory for a complete image, and gives back what an unusually large one took.
    fn keeping_little<T>(&mut self, decode: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let result = decode(&mut self.pixels);
        if self.pixels.capacity() > KEPT_BYTES {
            self.pixels = Vec::new();
        }
        result
    }
}

/// Copies a region of an image with `channels` bytes a pixel to RGB; of one or two channels the first is the gray value, of four
/// the last is alpha.
pub(crate) fn copy_region(pixels: &[u8], width: u32, channels: usize, region: Region, rgb_hwc: &mut [u8]) {
    let rows = pixels.chunks_exact(width as usize * channels).skip(region.top as usize);
    for (row, target) in rows.zip(rgb_hwc.chunks_exact_mut(region.width as usize * 3)) {
        copy_row(&row[region.left as usize * channels..], channels, target);
    }
}

/// Converts pixels of `channels` bytes to RGB until `rgb` is full.
pub(crate) fn copy_row(pixels: &[u8], channels: usize, rgb: &mut [u8]) {
    let pairs = pixels.chunks_exact(channels).zip(rgb.chunks_exact_mut(3));
    match channels {
        1 | 2 => pairs.for_each(|(pixel, rgb)| rgb.fill(pixel[0])),
        3 => rgb.copy_from_slice(&pixels[..rgb.len()]),
        _ => pairs.for_each(|(pixel, rgb)| rgb.copy_from_slice(&pixel[..3])),
    }
}
