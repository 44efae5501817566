//! The run folder as types: attempts, metrics, checkpoint manifests, exit codes.
//!
//! Everything that a run leaves on disk is named in [`RunFolder`]; whole files appear by [`write_atomic`], so a
//! reader, or a process that starts after a crash, finds a file complete or not at all.

mod folder;

mod attempt;
pub mod checkpoint;
mod failure;
mod metrics;
mod output;

mod atomic;
mod counted;
mod error;
mod exit_code;
mod host;
mod utc;

pub use atomic::{write_atomic, write_unsynced};
pub use attempt::{Attempt, AttemptEnd, AttemptRecord, AttemptStart};
pub use checkpoint::{Checkpoint, CheckpointWriter, Damaged};
pub use counted::counted;
pub use error::{StorageError, describe};
pub use exit_code::ExitCode;
pub use failure::Failure;
pub use folder::RunFolder;
pub use host::host_name;
pub use metrics::{EpochRow, MetricsLoss, MetricsMark, MetricsWriter, read_epochs};
pub use output::{OutputError, check_output, print_output, write_output};
pub use utc::utc;
