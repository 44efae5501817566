//! The run folder as types: attempts, step and epoch records, checkpoint manifests, exit codes; and the report of a probe.
//!
//! [`RunFolder`] has the path of everything that a run leaves on disk. Files are written by [`write_atomic`], so a reader, or
//! a process that starts after a crash, finds a file complete or not at all.

mod folder;

mod attempt;
pub mod checkpoint;
mod evaluation;
mod failure;
mod metrics;
mod output;
mod plan;
mod probe;
mod record;
mod regular;
mod schema;

mod atomic;
mod counted;
mod duration;
mod error;
mod exit_code;
mod host;
mod utc;

pub use atomic::{write_atomic, write_unsynced};
pub use attempt::{Attempt, AttemptEnd, AttemptRecord, AttemptStart};
pub use checkpoint::{Checkpoint, CheckpointWriter, Damaged};
pub use counted::counted;
pub use duration::duration;
pub use error::{OpenError, StorageError, describe};
pub use evaluation::{ClassResult, EvaluationRecord, WorstImage};
pub use exit_code::ExitCode;
pub use failure::Failure;
pub use folder::RunFolder;
pub use host::host_name;
pub use metrics::{MetricsLoss, MetricsMark, MetricsWriter, last_record, read_records};
pub use output::{OutputError, check_output, print_output, write_output};
pub use plan::{PlannedRow, PlannedRun, PlannedSize};
pub use probe::{ProbeReport, ProbedLibrary, ProbedRank, StepRate, TimedSum};
pub use record::{EpochRecord, GpuFacts, Record, StepRecord};
pub use regular::{open_regular, read_if_exists, read_regular};
pub use schema::Schema;
pub use utc::utc;
