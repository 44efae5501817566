//! The idx format (<http://yann.lecun.com/exdb/mnist/>): a magic number, big-endian sizes, then unsigned bytes.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::error::DataError;
use crate::regular_file;

/// An idx file of unsigned bytes.
#[derive(Debug)]
pub(crate) struct IdxFile {
    pub(crate) path: PathBuf,
    /// The number of entries, then the dimensions of each.
    pub(crate) sizes: Vec<u32>,
    /// The content; its length is the product of `sizes`.
    pub(crate) bytes: Vec<u8>,
}

/// Maximum number of bytes to reserve before reading, since a damaged header may specify a huge size.
const MOST_RESERVED: u64 = 256 << 20;

/// Reads an idx3 file; its sizes are images, rows, columns.
pub(crate) fn read_images(path: PathBuf) -> Result<IdxFile, DataError> {
    read(path, "images", 3)
}

/// Reads an idx1 file; its only size is the number of labels.
pub(crate) fn read_labels(path: PathBuf) -> Result<IdxFile, DataError> {
    read(path, "labels", 1)
}

fn read(path: PathBuf, content: &'static str, dimensions: usize) -> Result<IdxFile, DataError> {
    let mut reader = match open_decompressed(&path) {
        Ok(reader) => reader,
        Err(source) => return Err(DataError::Read { path, source }),
    };
    let header_bytes = 4 + 4 * dimensions as u64;
    let header = read_exactly(&mut *reader, &path, 0, header_bytes)?;
    let mut words = header.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let found = words.next().expect("a header has at least one word");
    // Two zero bytes, 0x08 for "unsigned byte", the number of dimensions.
    let expected = 0x0800 | dimensions as u32;
    if found != expected {
        return Err(DataError::WrongMagic { path, content, expected, found });
    }
    let sizes: Vec<u32> = words.collect();
    let body_bytes = sizes.iter().try_fold(1_u64, |product, &size| product.checked_mul(size.into()));
    let body_bytes = body_bytes.unwrap_or(u64::MAX - header_bytes);
    if body_bytes == 0 {
        return Err(DataError::Empty { path, sizes });
    }
    let bytes = read_exactly(&mut *reader, &path, header_bytes, body_bytes)?;
    expect_end(&mut *reader, &path, header_bytes + body_bytes)?;
    Ok(IdxFile { path, sizes, bytes })
}

/// Opens a file and decompresses it if its first bytes are those of gzip, whatever its name.
pub(crate) fn open_decompressed(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut start = Vec::new();
    regular_file::open(path)?.take(2).read_to_end(&mut start)?;
    let file = BufReader::new(File::open(path)?);
    Ok(if start == [0x1f, 0x8b] { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// Reads `count` bytes, after `offset` bytes that were read before.
fn read_exactly(reader: &mut dyn Read, path: &Path, offset: u64, count: u64) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::with_capacity(count.min(MOST_RESERVED) as usize);
    let outcome = reader.take(count).read_to_end(&mut bytes);
    let read = bytes.len() as u64;
    match outcome {
        // A truncated gzip stream gives `UnexpectedEof`; `bytes` contains what was decompressed before.
        Err(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
            Err(DataError::Read { path: path.to_owned(), source })
        }
        _ if read < count => Err(DataError::Truncated {
            path: path.to_owned(),
            expected: offset.saturating_add(count),
            found: offset + read,
        }),
        _ => Ok(bytes),
    }
}

/// Reads to the end, which makes the decompressor verify its checksum, and rejects trailing bytes.
fn expect_end(reader: &mut dyn Read, path: &Path, expected: u64) -> Result<(), DataError> {
    match io::copy(reader, &mut io::sink()) {
        Ok(0) => Ok(()),
        Ok(more) => Err(DataError::TrailingBytes { path: path.to_owned(), expected, found: expected + more }),
        Err(source) => Err(DataError::Read { path: path.to_owned(), source }),
    }
}
