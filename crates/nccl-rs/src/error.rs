//! The errors of finding the library and of calling it.

use std::path::PathBuf;

use crate::types::{Status, Version};

/// The reason why NCCL cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No library was found.
    #[error("no NCCL was found: {}", .tried.join("; "))]
    NotFound {
        /// The dynamic loader's error for each library that was tried.
        tried: Vec<String>,
    },
    /// The library lacks a function.
    #[error("{} has no {symbol}: it is not NCCL, or older than {}", .path.display(), crate::MINIMUM_VERSION)]
    Symbol {
        /// Path of the library.
        path: PathBuf,
        /// Name of the missing function.
        symbol: &'static str,
    },
    /// The library is too old.
    #[error("{} is NCCL {found}; at least {} is needed", .path.display(), crate::MINIMUM_VERSION)]
    Version {
        /// Path of the library.
        path: PathBuf,
        /// Version of the library.
        found: Version,
    },
}

/// An error of NCCL with all available details.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The library cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A call failed.
    #[error("{}", describe(.call, *.status, .text, .last_error, *.rank, *.sequence))]
    Call {
        /// Name of the NCCL function.
        call: &'static str,
        /// Status that it returned, or the communicator's asynchronous error.
        status: Status,
        /// NCCL's message for this status.
        text: String,
        /// Details from `ncclGetLastError`; may be empty.
        last_error: String,
        /// Rank of the communicator, if there is one.
        rank: Option<usize>,
        /// Sequence number of the last collective called on the communicator, counted from 1; 0 before the first.
        sequence: u64,
    },
    /// A call did not complete in time.
    #[error("{call} is still in progress at its deadline (rank {rank}, after collective {sequence})")]
    Deadline {
        /// Name of the NCCL function called last.
        call: &'static str,
        /// Rank of the communicator.
        rank: usize,
        /// Sequence number of the last collective called, counted from 1; 0 before the first.
        sequence: u64,
    },
}

fn describe(
    call: &str,
    Status(status): Status,
    text: &str,
    last: &str,
    rank: Option<usize>,
    sequence: u64,
) -> String {
    let mut message = format!("{call}: {text} (NCCL error {status}");
    if let Some(rank) = rank {
        message += &format!(", rank {rank}");
    }
    if sequence > 0 {
        message += &format!(", collective {sequence}");
    }
    message += ")";
    if !last.is_empty() {
        message += &format!(": {last}");
    }
    message
}
