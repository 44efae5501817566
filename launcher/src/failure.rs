//! Error reporting: one line on standard error, and the exit code that belongs to the cause.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use regatta_run_folder::{OpenError, OutputError, StorageError};
use regatta_settings::RecipeError;
use regatta_sweep::{FileError, PlanError};

/// A command line that cannot be carried out as given; exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Prints a line about the job to standard error. Write errors are ignored: a closed terminal must not stop the job.
pub(crate) fn print_status(line: impl Display) {
    _ = writeln!(io::stderr(), "launcher: {line}");
}

/// Prints an error with its causes and returns its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    _ = writeln!(io::stderr(), "error: {error:#}");
    ExitCode::from(exit_code(error).code() as u8)
}

fn exit_code(error: &anyhow::Error) -> regatta_run_folder::ExitCode {
    use regatta_run_folder::ExitCode;
    let of_cause = |cause: &(dyn std::error::Error + 'static)| {
        let is_there =
            matches!(cause.downcast_ref(), Some(OutputError::Exists(_) | OutputError::NotAFile { .. }));
        let is_usage = cause.is::<Usage>()
            || matches!(cause.downcast_ref(), Some(OpenError::NotARun(_)))
            || cause.is::<RecipeError>()
            || cause.is::<FileError>()
            || cause.is::<PlanError>();
        if is_usage || is_there {
            Some(ExitCode::Usage)
        } else if cause.is::<StorageError>()
            || cause.is::<OpenError>()
            || cause.is::<OutputError>()
            || cause.is::<std::io::Error>()
        {
            Some(ExitCode::Storage)
        } else {
            None
        }
    };
    error.chain().find_map(of_cause).unwrap_or(ExitCode::Internal)
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, Error};

    use super::*;

    #[test]
    fn causes_decide_the_exit_code() {
        let usage = Err::<(), _>(Usage("no such host".into())).context("in hosts.txt").unwrap_err();
        let missing = std::fs::read("/nowhere").context("cannot read it").unwrap_err();
        let codes = [usage, missing, Error::msg("anything else")].map(|error| exit_code(&error).code());
        assert_eq!(codes, [2, 6, 70]);
    }
}
