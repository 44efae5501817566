//! Copies shards to a local folder before a run reads them.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::TarError;
use crate::cache::{remove_leftovers, temporary_beside};
use crate::error::DataError;
use crate::parallel::{self, Progress};

/// Copies `shards` to `folder`, several at a time, and returns the copies in their order. A shard that is there already, with equal
/// size and modification time, is not copied again; a copy has a temporary name until it is complete. So a stage that was stopped
/// goes on where it was. One process of a host stages into a folder.
///
/// # Errors
/// A shard that cannot be read, a folder that cannot be written, or two shards with the same file name.
pub fn stage(shards: &[PathBuf], folder: &Path, progress: Progress) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::Write { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    remove_leftovers(folder).map_err(failed)?;
    let copy_of = |shard: &PathBuf| folder.join(shard.file_name().unwrap_or_default());
    let copies: Vec<_> = shards.iter().map(copy_of).collect();
    let mut sorted: Vec<_> = copies.iter().zip(shards).collect();
    sorted.sort();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(TarError::Twice { shard: pair[1].1.clone() }.into());
    }
    let pairs: Vec<_> = shards.iter().zip(&copies).collect();
    let mut done = |count| progress(count, shards.len());
    let outcomes = parallel::map(&pairs, |(shard, copy)| copy_unless_there(shard, copy), &mut done);
    outcomes.into_iter().collect::<Result<(), _>>()?;
    Ok(copies)
}

fn copy_unless_there(shard: &Path, copy: &Path) -> Result<(), DataError> {
    let unreadable = |source| DataError::Read { path: shard.to_owned(), source };
    let file = File::open(shard).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let identity = |metadata: &fs::Metadata| (metadata.size(), metadata.mtime(), metadata.mtime_nsec());
    if fs::metadata(copy).is_ok_and(|found| identity(&found) == identity(&metadata)) {
        return Ok(());
    }
    let temporary = temporary_beside(copy);
    let write = || -> io::Result<()> {
        let mut target = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        let copied = io::copy(&mut &file, &mut target)?;
        if copied != metadata.len() {
            return Err(io::Error::other(format!("{} changed while it was copied", shard.display())));
        }
        target.set_times(FileTimes::new().set_modified(metadata.modified()?))?;
        fs::rename(&temporary, copy)
    };
    write().map_err(|source| {
        _ = fs::remove_file(&temporary);
        DataError::Write { path: copy.to_owned(), source }
    })
}
