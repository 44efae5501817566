//! Errors of the run folder, with the operation, the path and the cause.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A failure of the run folder (exit code 6).
#[derive(Debug, Error)]
pub enum StorageError {
    /// An operation failed: disk full, permission denied, network file system gone, and so on.
    #[error("cannot {operation} {}", .path.display())]
    #[non_exhaustive]
    Io {
        /// The operation, as a verb.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file or folder exists, but its content is not what this program writes.
    #[error("{}: {found}", .path.display())]
    Content {
        /// The file or folder.
        path: PathBuf,
        /// What was found and what is expected.
        found: String,
    },
}

/// Why the folder of a run cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The path is not that of a run folder.
    #[error("{}: no run was started there: give a run folder, such as runs/regnetx", .0.display())]
    NotARun(PathBuf),
    /// The folder cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl StorageError {
    /// Returns a constructor for `map_err` of the error that `operation`, a verb, failed on `path`. There is no other way to
    /// construct [`StorageError::Io`].
    pub fn io(operation: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.as_ref().to_owned(), source }
    }
}

/// Formats the error and its causes on one line, as `{:#}` does for anyhow. No `Display` in this workspace repeats its cause.
pub fn describe(error: &dyn StdError) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
