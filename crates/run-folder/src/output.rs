//! Output of commands to a place that the user names: files, which are replaced only on request and only if they are regular,
//! and standard output, which may be closed or full.

use std::fmt::Display;
use std::fs::{self, FileType};
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::atomic::write_atomic;
use crate::error::StorageError;

/// Why an output was not written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The file exists (exit code 2).
    #[error("{} exists already: give another name, or --force to replace it", .0.display())]
    Exists(PathBuf),
    /// The path exists and is not a regular file, and is never replaced (exit code 2).
    #[error("{} is {found}, which is not replaced: give the name of a file", .path.display())]
    NotAFile {
        /// The path as given.
        path: PathBuf,
        /// What was found there, with its article.
        found: &'static str,
    },
    /// The output could not be written (exit code 6).
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Writes `bytes` into the file `path` atomically. An existing file is replaced only with `force`; if `path` is a link to a
/// file, that file is replaced and the link is kept.
///
/// # Errors
/// If the file exists and `force` is not set, if the path is not a regular file, or if it cannot be written.
pub fn write_output(path: impl AsRef<Path>, force: bool, bytes: impl AsRef<[u8]>) -> Result<(), OutputError> {
    let file = check_output(path, force)?;
    Ok(write_atomic(file, bytes.as_ref())?)
}

/// Prints `text` to standard output and adds a final newline if it has none. A closed pipe, as `head` leaves it, is no error.
///
/// # Errors
/// If standard output cannot be written, for example because the disk is full.
pub fn print_output(text: impl Display) -> Result<(), StorageError> {
    let mut text = text.to_string();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.map_err(StorageError::io("write to", Path::new("standard output"))),
    }
}

/// Checks that [`write_output`] may write to `path`, for a command to call before a long computation. Returns the file that
/// `path` refers to, with links resolved.
///
/// # Errors
/// Those of [`write_output`], except for writing.
pub fn check_output(path: impl AsRef<Path>, force: bool) -> Result<PathBuf, OutputError> {
    let path = path.as_ref();
    let refused = |found| OutputError::NotAFile { path: path.to_owned(), found };
    if path.file_name().is_none() {
        return Err(refused("a folder")); // `..`, `/`, or nothing at all
    }
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path.to_owned()),
        outcome => outcome.map_err(StorageError::io("inspect", path))?.file_type(),
    };
    let file = match there.is_symlink() {
        true => fs::canonicalize(path).map_err(|_| refused("a link that leads nowhere"))?,
        false => path.to_owned(),
    };
    let there = fs::metadata(&file).map_err(StorageError::io("inspect", &file))?.file_type();
    match (described(there), force) {
        (Some(found), _) => Err(refused(found)),
        (None, false) => Err(OutputError::Exists(path.to_owned())),
        (None, true) => Ok(file),
    }
}

/// Describes what is not a regular file; returns `None` for a regular file.
fn described(there: FileType) -> Option<&'static str> {
    match there {
        it if it.is_file() => None,
        it if it.is_dir() => Some("a folder"),
        it if it.is_char_device() || it.is_block_device() => Some("a device"),
        it if it.is_fifo() => Some("a pipe"),
        it if it.is_socket() => Some("a socket"),
        _ => Some("no regular file"),
    }
}
