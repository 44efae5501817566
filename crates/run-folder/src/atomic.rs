//! Files that appear whole or not at all: written beside their place, made durable, renamed into it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::StorageError;

/// Puts `bytes` into the file `path`, replacing what was there. At any moment, a crash or a loss of power
/// included, the file has its old or its new content.
///
/// # Errors
/// If the file cannot be written; its old content is then untouched.
pub fn write_atomic(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), StorageError> {
    let path = path.as_ref();
    replace(path, bytes, File::sync_all)?;
    sync_folder(parent(path))
}

/// Like [`write_atomic`], but leaves it to the operating system when the file becomes durable: a reader still finds
/// its old or its new content, also when this process is killed, but a loss of power may leave it empty.
pub fn write_unsynced(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    replace(path, bytes, |_| Ok(()))
}

/// Writes beside `path`, finishes the file there as told and renames it into place.
fn replace(path: &Path, bytes: &[u8], finish: fn(&File) -> io::Result<()>) -> Result<(), StorageError> {
    let (beside, mut file) = create_beside(path)?;
    let written = file.write_all(bytes).and_then(|()| finish(&file));
    let renamed = written.and_then(|()| fs::rename(&beside, path));
    if let Err(source) = renamed {
        // The first error is the one to report; a leftover does no harm.
        let _ = fs::remove_file(&beside);
        return Err(StorageError::io("write", path)(source));
    }
    Ok(())
}

/// Creates a hidden file next to `path` that no other process writes to, nor another thread.
fn create_beside(path: &Path) -> Result<(PathBuf, File), StorageError> {
    let mut name = OsString::from(".");
    name.push(path.file_name().expect("a path that ends in a file's name"));
    // Process numbers repeat between hosts and containers, so the name may be taken: then try the next.
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

/// Removes what processes that were killed while they replaced a file left beside it in `folder`. Only the owner of the
/// folder may do so; a folder that is not there has nothing to remove.
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

/// Whether a file's name is one that [`create_beside`] gives.
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
        .map_err(StorageError::io("make durable the folder", folder))
}

/// The folder that a file lies in; for a bare name the current one.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
