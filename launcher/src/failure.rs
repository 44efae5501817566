//! How a command that cannot do what it was asked ends: one line on standard error, and the exit code of the cause.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use regatta_run_folder::{OutputError, StorageError};
use regatta_settings::RecipeError;

/// The command asks for something that cannot be done as it stands.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Prints a line about the job. A terminal that is gone is no reason to stop it.
pub(crate) fn tell(line: impl Display) {
    _ = writeln!(io::stderr(), "launcher: {line}");
}

/// Says what went wrong and returns the exit code for it.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    _ = writeln!(io::stderr(), "error: {error:#}");
    ExitCode::from(exit_code(error).code() as u8)
}

fn exit_code(error: &anyhow::Error) -> regatta_run_folder::ExitCode {
    use regatta_run_folder::ExitCode;
    let of_cause = |cause: &(dyn std::error::Error + 'static)| {
        let is_there =
            matches!(cause.downcast_ref(), Some(OutputError::Exists(_) | OutputError::NotAFile { .. }));
        if cause.is::<Usage>() || cause.is::<RecipeError>() || is_there {
            Some(ExitCode::Usage)
        } else if cause.is::<StorageError>() || cause.is::<OutputError>() || cause.is::<std::io::Error>() {
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
