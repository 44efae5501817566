//! `launcher sweep analyze`: tables, figures and one page that compare the spaces of sweeps.

use std::path::{Path, PathBuf};

use anyhow::Result;
use regatta_run_folder::{ExitCode, print_output};
use regatta_sweep::analysis::{Analysis, SweepResults};
use regatta_sweep::results;

use super::{open, plan};
use crate::run::command_line::shell_quoted;

/// Options of `launcher sweep analyze`.
#[derive(Debug, clap::Args)]
pub(crate) struct AnalyzeCommand {
    /// Folders of sweeps; several are compared with each other
    #[arg(required = true, value_name = "SWEEP")]
    sweeps: Vec<PathBuf>,
    /// Folder for tables, figures and the page; files of an earlier analysis are replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Analyses the results so far and prints where the page is.
///
/// # Errors
/// If a folder is not that of a sweep, or the files cannot be written.
pub(crate) fn analyze(command: &AnalyzeCommand) -> Result<u8> {
    let sweeps: Vec<SweepResults> =
        command.sweeps.iter().map(|path| command.results(path)).collect::<Result<_>>()?;
    let written = Analysis::of(&sweeps).write(&command.out)?;
    let lines: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    print_output(lines.join("\n"))?;
    Ok(ExitCode::Done.code() as u8)
}

impl AnalyzeCommand {
    fn results(&self, path: &Path) -> Result<SweepResults> {
        let (folder, file) = open(path)?;
        let planned = plan(&folder, &file)?.trials().len() as u64;
        Ok(SweepResults {
            name: folder.name(),
            mode: file.mode,
            planned,
            spaces: file.names(),
            command: self.command_line(),
            results: results::read(&folder.results())?,
        })
    }

    /// The command, as it can be pasted into a shell.
    fn command_line(&self) -> String {
        let quoted = |path: &PathBuf| shell_quoted(&path.display().to_string());
        let sweeps: Vec<String> = self.sweeps.iter().map(quoted).collect();
        format!("launcher sweep analyze {} --out {}", sweeps.join(" "), quoted(&self.out))
    }
}
