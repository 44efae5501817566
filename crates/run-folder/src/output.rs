//! What commands write where the user tells them: files, of which none is replaced without being asked for and only regular ones
//! are, and standard output, which may be closed or full.

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
    /// A file is there already (exit code 2).
    #[error("{} exists already: give another name, or --force to replace it", .0.display())]
    Exists(PathBuf),
    /// Something else than a file is there, which is never replaced (exit code 2).
    #[error("{} is {found}, which is not replaced: give the name of a file", .path.display())]
    NotAFile {
        /// The path as it was given.
        path: PathBuf,
        /// What is there, with its article.
        found: &'static str,
    },
    /// It could not be written (exit code 6).
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Writes `bytes` into the file `path`, whole or not at all. One that is there is replaced if `force` says so; through a link to
/// a file, that file is, and the link stays.
///
/// # Errors
/// If a file is there and `force` is not set, if something other than a file is there, or if it cannot be written.
pub fn write_output(path: impl AsRef<Path>, force: bool, bytes: impl AsRef<[u8]>) -> Result<(), OutputError> {
    let file = check_output(path, force)?;
    Ok(write_atomic(file, bytes.as_ref())?)
}

/// Prints `text` on standard output, with an end of line if it has none. A reader that went away, as `head` does, has what it
/// wanted: that is no failure.
///
/// # Errors
/// If standard output takes no more, for example a file on a full disk.
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

/// Whether [`write_output`] may write there, for a command that takes its time to know what; returns the file behind links.
///
/// # Errors
/// As [`write_output`].
pub fn check_output(path: impl AsRef<Path>, force: bool) -> Result<PathBuf, OutputError> {
    let path = path.as_ref();
    let refused = |found| OutputError::NotAFile { path: path.to_owned(), found };
    if path.file_name().is_none() {
        return Err(refused("a folder")); // `..`, `/`, or nothing at all
    }
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path.to_owned()),
        outcome => outcome.map_err(StorageError::io("look at", path))?.file_type(),
    };
    let file = match there.is_symlink() {
        true => fs::canonicalize(path).map_err(|_| refused("a link that leads nowhere"))?,
        false => path.to_owned(),
    };
    let there = fs::metadata(&file).map_err(StorageError::io("look at", &file))?.file_type();
    match (described(there), force) {
        (Some(found), _) => Err(refused(found)),
        (None, false) => Err(OutputError::Exists(path.to_owned())),
        (None, true) => Ok(file),
    }
}

/// What is no regular file, in words.
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
