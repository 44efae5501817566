//! Atomic file writes: a temporary file in the same folder is written, synced and renamed into place.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::StorageError;

/// Replaces the content of the file `path` with `bytes`. At any moment, even after a crash or a loss of power, the file has
/// its old or its new content.
///
/// # Errors
/// If the file cannot be written; its old content is then unchanged.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), StorageError> {
    let path = path.as_ref();
    replace(path, bytes, File::sync_all)?;
    sync_folder(parent(path))
}

/// Replaces a file's content like [`write_atomic`], but without syncing: a reader finds the old or the new content even if
/// this process is killed, but a loss of power may leave the file empty.
///
/// # Errors
/// If the file cannot be written; its old content is then unchanged.
pub fn write_unsynced(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    replace(path, bytes, |_| Ok(()))
}

/// Writes a temporary file next to `path`, calls `finish` on it and renames it to `path`.
fn replace(path: &Path, bytes: &[u8], finish: fn(&File) -> io::Result<()>) -> Result<(), StorageError> {
    let (beside, mut file) = create_beside(path)?;
    let written = file.write_all(bytes).and_then(|()| finish(&file));
    let renamed = written.and_then(|()| fs::rename(&beside, path));
    if let Err(source) = renamed {
        // Report the first error; a leftover temporary file is harmless.
        let _ = fs::remove_file(&beside);
        return Err(StorageError::io("write", path)(source));
    }
    Ok(())
}

/// Creates a hidden file next to `path` that no other process or thread writes to.
fn create_beside(path: &Path) -> Result<(PathBuf, File), StorageError> {
    let mut name = OsString::from(".");
    name.push(path.file_name().expect("a path that ends in a file's name"));
    // Process ids repeat between hosts and containers, so the name may be taken: then try the next.
    for attempt in 0_u32.. {
        let mut name = name.clone();
        name.push(format!(".tmp-{}-{attempt}", std::process::id()));
        let beside = parent(path).join(name);
        match OpenOptions::new().write(true).create_new(true).open(&beside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            outcome => {
                let file = outcome.map_err(StorageError::io("write", path))?;
                return Ok((beside, file));
            }
        }
    }
    unreachable!("four thousand million leftovers of one file")
}

/// Removes temporary files in `folder` left by processes that were killed while they replaced a file. Only the owner of the
/// run folder may call it. A missing `folder` is no error.
pub(crate) fn remove_leftovers(folder: &Path) -> Result<(), StorageError> {
    let list = |error| StorageError::io("list", folder)(error);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        outcome => outcome.map_err(list)?,
    };
    for entry in entries {
        let entry = entry.map_err(list)?;
        if entry.file_name().to_str().is_some_and(is_leftover) {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                outcome => outcome.map_err(StorageError::io("remove", &entry.path()))?,
            }
        }
    }
    Ok(())
}

/// Returns whether a file's name has the form that [`create_beside`] uses.
fn is_leftover(name: &str) -> bool {
    let numbers =
        name.strip_prefix('.').and_then(|rest| rest.rsplit_once(".tmp-")).map(|(_, numbers)| numbers);
    numbers.and_then(|numbers| numbers.split_once('-')).is_some_and(|(process, attempt)| {
        [process, attempt].iter().all(|number| number.parse::<u32>().is_ok())
    })
}

/// Makes the folder's entries (creations, renames, removals) durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StorageError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(StorageError::io("sync the folder", folder))
}

/// Returns the folder that contains a file; for a bare name, the current folder.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
