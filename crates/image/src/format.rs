//! Formats, which the first bytes of a file decide.

use std::fmt;

use crate::error::ImageError;

/// A format that can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JPEG: baseline, extended or progressive, Huffman-coded, with 8 bits a sample.
    Jpeg,
    /// PNG.
    Png,
    /// WebP, lossy or lossless.
    WebP,
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
        })
    }
}

/// First bytes of formats that are often found in place of the supported ones.
const OTHERS: [(&[u8], &str); 8] = [
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"%PDF", "PDF"),
];

impl Format {
    /// The format of a file, from its first bytes.
    ///
    /// # Errors
    ///
    /// [`ImageError::Empty`] without bytes, otherwise [`ImageError::Unsupported`], which describes the first bytes.
    pub fn of(bytes: &[u8]) -> Result<Self, ImageError> {
        match bytes {
            [] => Err(ImageError::Empty),
            [0xff, 0xd8, ..] => Ok(Self::Jpeg),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Self::WebP),
            _ if bytes.starts_with(b"\x89PNG\r\n\x1a\n") => Ok(Self::Png),
            _ => Err(ImageError::Unsupported(description(bytes))),
        }
    }
}

/// What unsupported bytes are, for a message.
fn description(bytes: &[u8]) -> String {
    if let Some((_, name)) = OTHERS.iter().find(|(start, _)| bytes.starts_with(start)) {
        return (*name).to_owned();
    }
    if let Some(brand @ (b"avif" | b"heic" | b"mif1")) = bytes.get(8..12)
        && &bytes[4..8] == b"ftyp"
    {
        return format!("HEIF ({})", String::from_utf8_lossy(brand));
    }
    let start = &bytes[..bytes.len().min(16)];
    if start.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n')) {
        return format!("text that begins with {:?}", String::from_utf8_lossy(start));
    }
    let hexadecimal: Vec<_> = start.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("bytes that begin with {}", hexadecimal.join(" "))
}
