//! What the run folder promises, by topic.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod attempt;
mod checkpoint;
mod curves;
mod failure;
mod folder;
mod ledger;
mod metrics;
mod output;
mod verdict;

use regatta_run::RunFolder;
use tempfile::TempDir;

/// A run folder that is gone when the first value is dropped.
fn run_folder() -> (TempDir, RunFolder) {
    let root = tempfile::tempdir().unwrap();
    let folder = RunFolder::new(root.path(), "x");
    (root, folder)
}
