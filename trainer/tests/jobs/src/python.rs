//! The Python whose libraries tests compare with.

use std::path::{Path, PathBuf};

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
