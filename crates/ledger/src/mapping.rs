//! A ledger's file as words in memory; all unsafe code of this crate is here.

use std::fs::OpenOptions;
use std::path::Path;
use std::slice;
use std::sync::atomic::AtomicU64;

use memmap2::MmapRaw;

use super::layout::WORDS;
use regatta_run_folder::StorageError;

/// The words of a file, shared with whoever else maps or reads it. They stay in the file when this process dies.
#[derive(Debug)]
pub(super) struct Mapping {
    map: MmapRaw,
}

impl Mapping {
    /// Maps a file that has all its bytes already. (Were it only given its length, a full file system would be no
    /// error here but end the process at the first write to a page.)
    pub(super) fn open(path: &Path) -> Result<Self, StorageError> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let map = file.and_then(|file| MmapRaw::map_raw(&file)).map_err(StorageError::io("map", path))?;
        assert!(map.len() >= WORDS * size_of::<u64>(), "the file was written whole");
        Ok(Self { map })
    }

    /// The words.
    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is readable and writable, at least WORDS words long (asserted in `open`), aligned to a
        // page and lives as long as `self`. In this process it is reached through these atomics only, for which any
        // bits are valid; what other processes do to it is of no concern to this one's memory model.
        unsafe { slice::from_raw_parts(self.map.as_mut_ptr().cast::<AtomicU64>(), WORDS) }
    }
}
