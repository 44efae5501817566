//! A ledger file mapped into memory as atomic words. All unsafe code of this crate is here.

use std::fs::OpenOptions;
use std::path::Path;
use std::slice;
use std::sync::atomic::AtomicU64;

use memmap2::MmapRaw;

use super::layout::WORDS;
use regatta_run_folder::StorageError;

/// The mapped words of a file, shared with every process that maps or reads it. They remain in the file when this process dies.
#[derive(Debug)]
pub(super) struct Mapping {
    map: MmapRaw,
}

impl Mapping {
    /// Maps a file whose bytes have all been written already. (With a sparse file, a full file system would not be an
    /// error here but would kill the process at the first write to a page.)
    ///
    /// # Errors
    /// If the file cannot be opened or mapped.
    pub(super) fn open(path: &Path) -> Result<Self, StorageError> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let map = file.and_then(|file| MmapRaw::map_raw(&file)).map_err(StorageError::io("map", path))?;
        assert!(map.len() >= WORDS * size_of::<u64>(), "the file is complete");
        Ok(Self { map })
    }

    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is readable and writable, at least WORDS words long (asserted in `open`), aligned to a
        // page and lives as long as `self`. In this process it is reached through these atomics only, for which any
        // bits are valid; what other processes do to it is of no concern to this one's memory model.
        unsafe { slice::from_raw_parts(self.map.as_mut_ptr().cast::<AtomicU64>(), WORDS) }
    }
}
