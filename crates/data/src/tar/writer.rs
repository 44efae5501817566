//! Writes tar shards: the same bytes for the same images, and never a shard that is incomplete.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::error::{ShardFault, TarError};
use super::header::BLOCK;
use super::{numbering, sample};
use crate::cache::{remove_leftovers, temporary_beside};
use crate::error::DataError;

/// Writes images as samples KEY.EXTENSION and KEY.cls to shards STEM-000000.tar, STEM-000001.tar and so on. KEY is the image's
/// number with nine digits or more. A shard has a temporary name until it is complete.
#[derive(Debug)]
pub struct ShardWriter {
    folder: PathBuf,
    stem: String,
    limit_bytes: u64,
    open: Option<OpenShard>,
    shards: Vec<PathBuf>,
}

#[derive(Debug)]
struct OpenShard {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
}

impl ShardWriter {
    /// Continues after the shards STEM-NNNNNN.tar that are complete in `folder`, which is created if need be. Returns the numbers
    /// of the images in them, in the order in which they were written: the caller checks that it would write the same, and goes on
    /// after them. A new shard begins where the next image would make one larger than `limit_bytes`.
    ///
    /// # Errors
    /// A folder that cannot be read or written; a shard there that this writer did not write.
    pub fn resume(folder: &Path, stem: &str, limit_bytes: u64) -> Result<(Self, Vec<u32>), DataError> {
        let failed = |source| DataError::Write { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        remove_leftovers(folder).map_err(failed)?;
        let (folder, stem, shards) = (folder.to_owned(), stem.to_owned(), Vec::new());
        let mut writer = Self { folder, stem, limit_bytes, open: None, shards };
        let mut numbers = Vec::new();
        while writer.next_path().exists() {
            let shard = writer.next_path();
            for name in sample::read(&shard)?.names.iter() {
                let foreign = || TarError::Shard { shard: shard.clone(), fault: ShardFault::NotNumbered };
                numbers.push(numbering::number_of(name).ok_or_else(foreign)?);
            }
            writer.shards.push(shard);
        }
        Ok((writer, numbers))
    }

    fn next_path(&self) -> PathBuf {
        self.folder.join(format!("{}-{:06}.tar", self.stem, self.shards.len()))
    }

    /// Writes the image with a number. `extension` says what it is: jpg, jpeg, png or webp.
    ///
    /// # Errors
    /// A file that cannot be written.
    ///
    /// # Panics
    /// If the extension is another.
    pub fn append(
        &mut self,
        number: u32,
        extension: &str,
        image: &[u8],
        label: u32,
    ) -> Result<(), DataError> {
        assert!(["jpg", "jpeg", "png", "webp"].contains(&extension), "an image's extension, not {extension}");
        let label = label.to_string();
        let sample_bytes = entry_bytes(image) + entry_bytes(label.as_bytes());
        let is_full = |open: &OpenShard| open.bytes + sample_bytes + END_BYTES > self.limit_bytes;
        if self.open.as_ref().is_some_and(is_full) {
            self.close()?;
        }
        let path = self.next_path();
        let open = match &mut self.open {
            Some(open) => open,
            closed => closed.insert(OpenShard::create(path)?),
        };
        open.write_entry(&format!("{number:09}.{extension}"), image)?;
        open.write_entry(&format!("{number:09}.cls"), label.as_bytes())
    }

    fn close(&mut self) -> Result<(), DataError> {
        if let Some(open) = self.open.take() {
            self.shards.push(open.close()?);
        }
        Ok(())
    }

    /// Completes the last shard and returns all of them. A writer that is dropped instead leaves no incomplete shard.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(mut self) -> Result<Vec<PathBuf>, DataError> {
        self.close()?;
        Ok(std::mem::take(&mut self.shards))
    }
}

impl Drop for ShardWriter {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            // What remains is removed by the next `resume`.
            _ = fs::remove_file(open.temporary);
        }
    }
}

/// Two blocks of zeros.
const END_BYTES: u64 = 2 * BLOCK as u64;

fn entry_bytes(content: &[u8]) -> u64 {
    BLOCK as u64 + (content.len() as u64).next_multiple_of(BLOCK as u64)
}

impl OpenShard {
    fn create(path: PathBuf) -> Result<Self, DataError> {
        let temporary = temporary_beside(&path);
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary);
        let file = file.map_err(|source| DataError::Write { path: temporary.clone(), source })?;
        Ok(Self { path, temporary, file: BufWriter::with_capacity(1 << 20, file), bytes: 0 })
    }

    fn write_entry(&mut self, name: &str, content: &[u8]) -> Result<(), DataError> {
        let padding = content.len().next_multiple_of(BLOCK) - content.len();
        let mut write = |part: &[u8]| self.file.write_all(part);
        [&header(name, content.len() as u64)[..], content, &[0; BLOCK][..padding]]
            .into_iter()
            .try_for_each(&mut write)
            .map_err(|source| DataError::Write { path: self.temporary.clone(), source })?;
        self.bytes += entry_bytes(content);
        Ok(())
    }

    fn close(mut self) -> Result<PathBuf, DataError> {
        let mut complete = || -> io::Result<()> {
            self.file.write_all(&[0; END_BYTES as usize])?;
            self.file.flush()?;
            self.file.get_ref().sync_all()?;
            fs::rename(&self.temporary, &self.path)
        };
        complete().map_err(|source| {
            _ = fs::remove_file(&self.temporary);
            DataError::Write { path: self.path.clone(), source }
        })?;
        Ok(self.path)
    }
}

/// Returns the POSIX header of a file that belongs to nobody and was written in 1970.
fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |offset: usize, field: &[u8]| header[offset..offset + field.len()].copy_from_slice(field);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    // The checksum is of a header with spaces in its place.
    put(148, b"        0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
