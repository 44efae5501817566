//! What can go wrong with the run folder, with the operation, the path and the cause.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A failure of the run folder (exit code 6).
#[derive(Debug, Error)]
pub enum StorageError {
    /// The operating system refused: disk full, no permission, a network file system that is gone, and so on.
    #[error("cannot {operation} {}", .path.display())]
    #[non_exhaustive]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file or folder is there but not what this program writes.
    #[error("{}: {found}", .path.display())]
    Content {
        /// The file or folder.
        path: PathBuf,
        /// What was found, and what would be right.
        found: String,
    },
}

impl StorageError {
    /// A failed operation on `path`, for `map_err`; `operation` is a verb. The only constructor of [`StorageError::Io`].
    pub fn io(operation: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.as_ref().to_owned(), source }
    }
}

/// The error and its causes in one line, as `{:#}` shows an error of anyhow. No `Display` of this workspace repeats its cause.
pub fn describe(error: &dyn StdError) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
