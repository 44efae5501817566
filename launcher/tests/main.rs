//! Tests of the launcher's binary, by topic, run as a user would run it.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod autopsy;
mod doctor;
mod documents;
mod hosts;
mod plan;
mod refusals;
mod report;
mod run;
mod run_host;
mod slurm;
mod stops;
mod sweep;
mod torture;
mod two_hosts;
mod watch;

use std::process::Command;

/// `launcher ARGUMENTS`.
fn launcher(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_launcher"));
    command.args(arguments);
    command
}
