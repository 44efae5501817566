//! The analysis of sweeps from their results alone: numbers, tables, figures and a page. It works at any time, also while a sweep
//! runs: what cannot be computed yet is left out, and the notes say why.

use std::fs;
use std::path::{Path, PathBuf};

use regatta_report::page::{Page, Part, Section};
use regatta_run_folder::{StorageError, write_atomic};
use serde::Serialize;

use crate::file::Mode;
use crate::result::TrialResult;

mod progress;

mod space;

mod distribution;

mod comparison;

mod normalised;

mod profile;

mod parameters;

mod curves;

mod search;

mod text;

pub use comparison::Comparison;
pub use distribution::Distribution;
pub use normalised::Normalised;
pub use parameters::Parameter;
pub use profile::Profile;
pub use progress::{Ends, Progress};
pub use search::{BestSoFar, RungOutcome, SearchOutcome};

use space::Space;

/// A sweep with its results so far.
#[derive(Clone, Debug)]
pub struct SweepResults {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub mode: Mode,
    /// Number of trainings that are planned: networks times training seeds; in a search, the samples.
    pub planned: u64,
    /// The spaces' names in the order in which they are compared; others that have results follow.
    pub spaces: Vec<String>,
    /// The command that analyses it, which the page shows.
    pub command: String,
    /// Its results ([`crate::results::read`]).
    pub results: Vec<TrialResult>,
}

/// What follows from the results of one or more sweeps. Errors are fractions from 0 to 1.
#[derive(Clone, Debug, Serialize)]
pub struct Analysis {
    /// How far each sweep is.
    pub sweeps: Vec<Progress>,
    /// The distribution of errors of each space of the studies.
    pub distributions: Vec<Distribution>,
    /// Pairs of these spaces: each with the one before it and with the first.
    pub comparisons: Vec<Comparison>,
    /// The distributions weighted to equal multiply-adds.
    pub normalised: Vec<Normalised>,
    /// The best networks of each space with the linear fit of their widths.
    pub profiles: Vec<Profile>,
    /// The parameters of each space's networks with the range of the best.
    pub parameters: Vec<Parameter>,
    /// The searches.
    pub searches: Vec<SearchOutcome>,
    /// What was left out, and why.
    pub notes: Vec<String>,
    #[serde(skip)]
    page: Page,
}

impl Analysis {
    /// Analyses the sweeps together: spaces are compared within and across sweeps, in the order given.
    pub fn of(sweeps: &[SweepResults]) -> Self {
        let spaces = space::of_all(sweeps);
        let studies: Vec<&Space> = spaces.iter().filter(|space| space.mode == Mode::Study).collect();
        let mut notes = progress::notes(sweeps, &spaces);
        let sweeps_so_far = progress::of_all(sweeps);
        let distributions: Vec<Distribution> = studies.iter().map(|it| Distribution::of(it)).collect();
        let comparisons = comparison::of_all(&studies);
        let normalised = normalised::of_all(&studies);
        let profiles = profile::of_all(&spaces);
        let parameters = parameters::of_all(&spaces);
        let searches = search::of_all(sweeps);

        let mut sections = vec![progress::section(&sweeps_so_far)];
        sections.extend(distribution::section(&distributions, &studies));
        sections.extend(comparison::section(&comparisons));
        match normalised::section(&normalised, &studies) {
            Ok(section) => sections.push(section),
            Err(reason) => notes.extend(reason),
        }
        sections.extend(search::section(&searches, sweeps));
        sections.extend(profile::section(&profiles, &spaces));
        sections.extend(parameters::section(&parameters, &spaces));
        sections.extend(curves::section(&spaces));
        sections.extend(notes_section(&notes));
        sections.push(command_section(sweeps));
        Self {
            sweeps: sweeps_so_far,
            distributions,
            comparisons,
            normalised,
            profiles,
            parameters,
            searches,
            notes,
            page: Page { title: title(sweeps), sections },
        }
    }

    /// Writes `analysis.json`, `analysis.md`, the figures and `index.html` into the folder `out`, which is created if it is
    /// missing; each file is replaced atomically. Returns their paths.
    ///
    /// # Errors
    /// If the folder or a file cannot be written.
    pub fn write(&self, out: &Path) -> Result<Vec<PathBuf>, StorageError> {
        fs::create_dir_all(out).map_err(StorageError::io("create", out))?;
        let json = serde_json::to_string_pretty(self).expect("numbers and strings always have a JSON form");
        let figures = self.page.figures().map(|(file, svg)| (file.to_owned(), svg.to_owned()));
        let texts = [("analysis.json", json + "\n"), ("analysis.md", self.page.markdown())];
        let texts = texts.into_iter().map(|(file, text)| (file.to_owned(), text));
        let page = [("index.html".to_owned(), self.page.html())];
        let mut written = Vec::new();
        for (file, content) in texts.chain(figures).chain(page) {
            let path = out.join(file);
            write_atomic(&path, content.as_bytes())?;
            written.push(path);
        }
        Ok(written)
    }
}

fn title(sweeps: &[SweepResults]) -> String {
    match sweeps {
        [] => "No sweeps".into(),
        sweeps => sweeps.iter().map(|sweep| sweep.name.as_str()).collect::<Vec<_>>().join(", "),
    }
}

fn notes_section(notes: &[String]) -> Option<Section> {
    let parts = vec![Part::List(notes.to_vec())];
    (!notes.is_empty()).then(|| Section { title: "Notes".into(), parts })
}

fn command_section(sweeps: &[SweepResults]) -> Section {
    let mut commands: Vec<&str> = sweeps.iter().map(|sweep| sweep.command.as_str()).collect();
    commands.dedup();
    Section { title: "Made by".into(), parts: vec![Part::Code(commands.join("\n"))] }
}
