//! The Python that tests compare with.

use std::path::{Path, PathBuf};

/// The one that `REGATTA_PYTHON` names, which then must be there, or that of the checkout, which may be missing: then the
/// reason.
pub fn python() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("REGATTA_PYTHON") {
        return Ok(named.into());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../.venv/bin/python");
    let missing = format!("no Python at {} (REGATTA_PYTHON names another)", path.display());
    path.exists().then_some(path).ok_or(missing)
}
