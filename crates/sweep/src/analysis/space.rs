//! The networks of each space of each sweep, with their errors.

use regatta_report::chart::{Colour, colour};

use super::SweepResults;
use crate::file::Mode;
use crate::result::TrialResult;

/// A space of a sweep.
pub(super) struct Space<'a> {
    /// Its name, with the sweep's before it if another sweep has a space of that name.
    pub(super) label: String,
    /// Its name in names of files.
    pub(super) slug: String,
    pub(super) mode: Mode,
    pub(super) colour: Colour,
    /// A result for each training: in a study the one with the largest budget; in a search the one with the smallest, which all
    /// trials have, so that the comparison is fair.
    pub(super) trainings: Vec<&'a TrialResult>,
    /// The networks that have an error, from the smallest error to the largest.
    pub(super) networks: Vec<Trained<'a>>,
}

/// A network with its errors.
pub(super) struct Trained<'a> {
    /// The result of its first training seed that has an error.
    pub(super) result: &'a TrialResult,
    /// The errors of all seeds.
    pub(super) errors: Vec<f64>,
    /// Their mean.
    pub(super) error: f64,
}

impl Space<'_> {
    /// Returns the networks' errors, ascending.
    pub(super) fn errors(&self) -> Vec<f64> {
        self.networks.iter().map(|network| network.error).collect()
    }
}

/// Returns the spaces of all sweeps.
pub(super) fn of_all(sweeps: &[SweepResults]) -> Vec<Space<'_>> {
    let mut spaces: Vec<Space> = Vec::new();
    for (index, sweep) in sweeps.iter().enumerate() {
        for name in names(sweep) {
            let elsewhere =
                |other: &(usize, &SweepResults)| other.0 != index && names(other.1).contains(&name);
            let shared = sweeps.iter().enumerate().any(|other| elsewhere(&other));
            let label = if shared { format!("{}/{name}", sweep.name) } else { name.to_owned() };
            let label = free(label, " ", |label| spaces.iter().all(|space| space.label != *label));
            let slug = free(slug(&label), "-", |slug| spaces.iter().all(|space| space.slug != *slug));
            spaces.push(space(sweep, name, label, slug, colour(spaces.len())));
        }
    }
    spaces
}

/// Returns the names of a sweep's spaces, first those in its own order.
fn names(sweep: &SweepResults) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    let with_results = sweep.results.iter().map(|result| result.space.as_str());
    for name in sweep.spaces.iter().map(String::as_str).chain(with_results) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn space<'a>(sweep: &'a SweepResults, name: &str, label: String, slug: String, colour: Colour) -> Space<'a> {
    let mut trainings: Vec<&TrialResult> = Vec::new();
    for result in sweep.results.iter().filter(|result| result.space == name) {
        match trainings.iter_mut().find(|other| other.id == result.id) {
            Some(other) if replaces(sweep.mode, result, other) => *other = result,
            Some(_) => {}
            None => trainings.push(result),
        }
    }
    trainings.sort_by_key(|result| (result.sample, result.training_seed));
    let networks = networks(&trainings);
    Space { label, slug, mode: sweep.mode, colour, trainings, networks }
}

fn replaces(mode: Mode, result: &TrialResult, other: &TrialResult) -> bool {
    match mode {
        Mode::Study => result.budget.epochs > other.budget.epochs,
        Mode::Search => result.budget.epochs < other.budget.epochs,
    }
}

/// Returns the networks of trainings that are ordered by sample, ordered by their mean errors.
fn networks<'a>(trainings: &[&'a TrialResult]) -> Vec<Trained<'a>> {
    let seeds = trainings.chunk_by(|first, second| first.sample == second.sample);
    let network = |seeds: &[&'a TrialResult]| {
        let result = seeds.iter().find(|result| result.error().is_some())?;
        let errors: Vec<f64> = seeds.iter().filter_map(|result| result.error()).collect();
        let error = errors.iter().sum::<f64>() / errors.len() as f64;
        error.is_finite().then_some(Trained { result, errors, error })
    };
    let mut networks: Vec<Trained> = seeds.filter_map(network).collect();
    networks.sort_by(|first, second| first.error.total_cmp(&second.error));
    networks
}

/// Returns the label with only lower-case letters, digits, `-` and `_`.
fn slug(label: &str) -> String {
    let allowed =
        |it: char| if it.is_ascii_alphanumeric() || it == '_' { it.to_ascii_lowercase() } else { '-' };
    let slug: String = label.chars().map(allowed).take(80).collect();
    let slug = slug.trim_matches('-');
    if slug.is_empty() { "space".into() } else { slug.to_owned() }
}

/// Returns the name, with the first number after it that makes it free if it is not.
fn free(name: String, separator: &str, is_free: impl Fn(&String) -> bool) -> String {
    let numbered = (2..).map(|number| format!("{name}{separator}{number}"));
    std::iter::once(name.clone()).chain(numbered).find(is_free).unwrap_or(name)
}
