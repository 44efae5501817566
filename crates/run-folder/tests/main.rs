//! Tests of the run folder, by topic.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod attempt;
mod checkpoint;
mod failure;
mod folder;
mod metrics;
mod output;

use regatta_run_folder::RunFolder;
use tempfile::TempDir;

/// A run folder that is gone when the first value is dropped.
fn run_folder() -> (TempDir, RunFolder) {
    let root = tempfile::tempdir().unwrap();
    let folder = RunFolder::new(root.path(), "x");
    (root, folder)
}
