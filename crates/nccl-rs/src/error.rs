//! What can go wrong: finding the library, and calling it.

use std::path::PathBuf;

use crate::types::{Status, Version};

/// Why there is no NCCL to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No library was found.
    #[error("no NCCL was found: {}", .tried.join("; "))]
    NotFound {
        /// What was looked for, each with what the dynamic loader said.
        tried: Vec<String>,
    },
    /// The library lacks a function.
    #[error("{} has no {symbol}: it is not an NCCL, or one older than {}", .path.display(), crate::MINIMUM_VERSION)]
    Symbol {
        /// The library.
        path: PathBuf,
        /// The function.
        symbol: &'static str,
    },
    /// The library is too old.
    #[error("{} is NCCL {found}; at least {} is needed", .path.display(), crate::MINIMUM_VERSION)]
    Version {
        /// The library.
        path: PathBuf,
        /// Its version.
        found: Version,
    },
}

/// An error of NCCL, with all that it tells.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no library.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A call failed.
    #[error("{}", describe(.call, *.status, .text, .last_error, *.rank, *.sequence))]
    Call {
        /// The function of NCCL.
        call: &'static str,
        /// What it returned, or what the communicator's asynchronous error is.
        status: Status,
        /// NCCL's text for that.
        text: String,
        /// `ncclGetLastError`: the details, where there are some.
        last_error: String,
        /// The rank of the communicator, where there is one.
        rank: Option<usize>,
        /// Number of the last collective that was called on the communicator, from 1; 0 before the first.
        sequence: u64,
    },
    /// What was started has not come to its end in time.
    #[error("{call} is still in progress at its deadline (rank {rank}, after collective {sequence})")]
    Deadline {
        /// The function of NCCL that was last called.
        call: &'static str,
        /// The rank.
        rank: usize,
        /// Number of the last collective that was called, from 1; 0 before the first.
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
