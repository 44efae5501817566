//! The Python whose libraries tests compare with.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Exit status of a script whose Python lacks the libraries.
pub const SKIPPED: i32 = 77;

/// The Python that `REGATTA_PYTHON` names, else that of the checkout.
///
/// # Errors
///
/// The reason why tests are skipped, if `REGATTA_PYTHON` is not set and the checkout has no Python.
pub fn python() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("REGATTA_PYTHON") {
        return Ok(named.into());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../.venv/bin/python");
    let missing = format!("no Python at {} (REGATTA_PYTHON names another)", path.display());
    path.exists().then_some(path).ok_or(missing)
}

/// Runs a script with a folder as its argument, which has its input and gets its results.
///
/// # Errors
///
/// The reason why no Python with the script's libraries is available.
///
/// # Panics
///
/// If the script fails.
pub fn run_script(script: &Path, folder: &Path) -> Result<(), String> {
    let python = python()?;
    let output = Command::new(&python).arg(script).arg(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{} does not start: {error}", python.display()));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.code() == Some(SKIPPED) {
        return Err(printed.trim().to_owned());
    }
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
