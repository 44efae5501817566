//! Finds the trainer binary that this launcher starts.

use std::path::{Path, PathBuf};

use crate::failure::Usage;

/// Returns the trainer named on the command line, or by `TRAINER`, or the one beside this binary, or on the path, in this order.
///
/// # Errors
/// If the named file does not exist, or no trainer is found.
pub(crate) fn find(named: Option<&Path>) -> Result<PathBuf, Usage> {
    let variable = std::env::var_os("TRAINER").map(PathBuf::from);
    if let Some(path) = named.map(Path::to_owned).or(variable) {
        return match path.is_file() {
            true => Ok(std::path::absolute(&path).unwrap_or(path)),
            false => Err(Usage(format!("there is no trainer at {}", path.display()))),
        };
    }
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("trainer")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("trainer"));
    beside.into_iter().chain(on_path).find(|file| file.is_file()).ok_or_else(|| {
        Usage("no trainer beside the launcher or on the path: name it with --trainer or TRAINER".into())
    })
}
