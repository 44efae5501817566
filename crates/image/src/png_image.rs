//! Decoding of PNG to what Pillow's `convert("RGB")` gives.

use std::io::{Cursor, ErrorKind};

use png::{BitDepth, ColorType, DecodingError, Limits, Reader, Transformations};

use crate::decoder::{copy_region, copy_row};
use crate::error::ImageError;
use crate::format::Format;
use crate::region::{MAX_DECODER_BYTES, Region, Size};

type PngReader<'a> = Reader<Cursor<&'a [u8]>>;

/// The size in the header, which is the file's first chunk.
pub(crate) fn size(bytes: &[u8]) -> Result<Size, ImageError> {
    let number = |at: usize| {
        let number = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
        number.map(u32::from_be_bytes).ok_or(ImageError::Truncated(Format::Png))
    };
    let size = Size { width: number(16)?, height: number(20)? };
    if &bytes[12..16] != b"IHDR" {
        return Err(corrupt("the first chunk is not IHDR".to_owned()));
    }
    size.checked()
}

/// Decodes a region to RGB. `pixels` is memory for a complete image, which an interlaced one needs.
pub(crate) fn decode(
    bytes: &[u8],
    region: Option<Region>,
    pixels: &mut Vec<u8>,
    rgb_hwc: &mut Vec<u8>,
) -> Result<Size, ImageError> {
    let size = size(bytes)?;
    let region = Region::within(region, size)?;
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MAX_DECODER_BYTES });
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(error)?;
    rgb_hwc.resize(region.size().bytes(3), 0);
    let layout = Layout::of(&reader);
    if reader.info().interlaced {
        decode_interlaced(&mut reader, layout, region, pixels, rgb_hwc)?;
    } else {
        decode_rows(&mut reader, layout, region, pixels, rgb_hwc)?;
    }
    Ok(region.size())
}

/// How the decoder gives pixels.
#[derive(Clone, Copy)]
struct Layout {
    channels: usize,
    sixteen_bits: bool,
    /// Pillow clips 16-bit gray to 255, and takes the high byte of all other 16-bit samples.
    clipped: bool,
}

impl Layout {
    fn of(reader: &PngReader) -> Self {
        let (color, depth) = reader.output_color_type();
        let sixteen_bits = depth == BitDepth::Sixteen;
        let clipped = sixteen_bits && reader.info().color_type == ColorType::Grayscale;
        Self { channels: color.samples(), sixteen_bits, clipped }
    }

    /// Converts a row of 16-bit samples to 8 bits, in `scratch`; one of 8 bits is returned as it is.
    fn eight_bits<'a>(self, row: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
        if !self.sixteen_bits {
            return row;
        }
        let value = |sample: &[u8]| {
            if self.clipped && sample[0] > 0 { 255 } else { sample[usize::from(self.clipped)] }
        };
        scratch.clear();
        scratch.extend(row.chunks_exact(2).map(value));
        scratch
    }
}

/// Decodes row by row, down to the region's last row.
fn decode_rows(
    reader: &mut PngReader,
    layout: Layout,
    region: Region,
    scratch: &mut Vec<u8>,
    rgb_hwc: &mut [u8],
) -> Result<(), ImageError> {
    for _ in 0..region.top {
        next_row(reader)?;
    }
    for target in rgb_hwc.chunks_exact_mut(region.width as usize * 3) {
        let row = layout.eight_bits(next_row(reader)?, scratch);
        copy_row(&row[region.left as usize * layout.channels..], layout.channels, target);
    }
    Ok(())
}

fn next_row<'a>(reader: &'a mut PngReader) -> Result<&'a [u8], ImageError> {
    let row = reader.next_row().map_err(error)?;
    row.map(|row| row.data()).ok_or(ImageError::Truncated(Format::Png))
}

fn decode_interlaced(
    reader: &mut PngReader,
    layout: Layout,
    region: Region,
    pixels: &mut Vec<u8>,
    rgb_hwc: &mut [u8],
) -> Result<(), ImageError> {
    let bytes = reader.output_buffer_size().filter(|bytes| *bytes <= MAX_DECODER_BYTES);
    pixels.resize(bytes.ok_or(ImageError::TooMuchMemory(Format::Png))?, 0);
    reader.next_frame(pixels).map_err(error)?;
    let width = reader.info().width;
    if layout.sixteen_bits {
        let mut eight_bits = Vec::new();
        layout.eight_bits(pixels, &mut eight_bits);
        *pixels = eight_bits;
    }
    copy_region(pixels, width, layout.channels, region, rgb_hwc);
    Ok(())
}

fn corrupt(message: String) -> ImageError {
    ImageError::Corrupt { format: Format::Png, message }
}

fn error(error: DecodingError) -> ImageError {
    match error {
        DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            ImageError::Truncated(Format::Png)
        }
        DecodingError::LimitsExceeded => ImageError::TooMuchMemory(Format::Png),
        error => corrupt(error.to_string()),
    }
}
