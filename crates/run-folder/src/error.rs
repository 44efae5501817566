//! What can go wrong with the run folder, with the operation, the path and the cause.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A failure of the run folder (exit code 6).
#[derive(Debug, Error)]
pub enum StorageError {
    /// The operating system refused: disk full, no permission, a network file system that is gone, and so on.
    #[error("cannot {operation} {}: {source}", .path.display())]
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
    /// Names what was tried where, for `map_err`.
    pub fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }
}
