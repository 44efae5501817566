//! `launcher report`: runs side by side, in the terminal and as a page.

mod table;

use std::path::PathBuf;

use anyhow::Result;
use regatta_report::run::{Difference, Document, RunFiles, Summary, differences};
use regatta_run_folder::{ExitCode, check_output, print_output, write_output};
use serde::Serialize;

/// Options of `launcher report`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportCommand {
    /// Run folders, for example runs/regnetx
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// Writes a page with curves, step times, ranks, evaluations and attempts: one HTML file that loads nothing
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Replaces an existing page
    #[arg(long, requires = "html")]
    force: bool,
}

/// Runs side by side.
#[derive(Debug, Serialize)]
struct Comparison {
    runs: Vec<Summary>,
    /// Keys of the recipes that differ, with their values in the order of the runs.
    differences: Vec<Difference>,
    /// What could not be read.
    notes: Vec<String>,
}

/// Prints the comparison and writes the page.
///
/// # Errors
/// If a path is not that of a run folder, or the page exists or cannot be written.
pub(crate) fn report(command: &ReportCommand) -> Result<ExitCode> {
    if let Some(file) = &command.html {
        check_output(file, command.force)?;
    }
    let runs: Vec<RunFiles> =
        command.runs.iter().map(|path| RunFiles::read(path)).collect::<Result<_, _>>()?;
    let comparison = Comparison::of(&runs);
    if let Some(file) = &command.html {
        write_output(file, command.force, Document::of(&runs).html())?;
    }
    match command.json {
        true => print_output(serde_json::to_string_pretty(&comparison)?)?,
        false => print_output(table::text(&comparison))?,
    }
    Ok(ExitCode::Done)
}

impl Comparison {
    fn of(runs: &[RunFiles]) -> Self {
        let recipes: Vec<_> = runs.iter().map(|run| &run.recipe).collect();
        Self {
            runs: runs.iter().map(Summary::of).collect(),
            differences: differences(&recipes),
            notes: runs.iter().flat_map(|run| run.notes.clone()).collect(),
        }
    }
}
