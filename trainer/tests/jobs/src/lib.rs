//! Jobs for tests: real processes and MPI ranks with a time limit, which leave no process behind. For tests only.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod jobs;
mod mpi;

mod checkpoints;
mod documented;
mod python;
mod recipe;
mod torture;

pub use checkpoints::{checkpoint_files, list, metrics, newest_step, repeatable_metrics, tensors_f64};
pub use documented::{Under, documented};
pub use jobs::{Ended, Job, Running, Workdir, built};
pub use mpi::{mpi_settings, mpirun, scrub};
pub use python::{SKIPPED, python, run_script};
pub use recipe::{ENDLESS, TINY, tiny_with};
pub use torture::{random_below, torture_is_requested};
