//! How far each sweep is.

use regatta_report::page::{Part, Section, Table};
use serde::Serialize;

use super::SweepResults;
use super::space::Space;
use super::text::{count, enumeration};
use crate::file::Mode;
use crate::result::{End, TrialResult};

/// The state of a sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub mode: Mode,
    /// Number of trainings that ended.
    pub ended: u64,
    /// Number that is planned.
    pub planned: u64,
    /// How they ended.
    pub ends: Ends,
}

/// How trainings ended. A trial of a search counts once, with its largest budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ends {
    /// Number of trainings that reached the end of their budget.
    pub done: u64,
    /// Number that diverged.
    pub diverged: u64,
    /// Number that failed for a reason outside of the network.
    pub failed: u64,
}

impl Ends {
    pub(super) fn of<'a>(trainings: impl IntoIterator<Item = &'a TrialResult>) -> Self {
        let mut ends = Self::default();
        for training in trainings {
            match training.end {
                End::Done => ends.done += 1,
                End::Diverged { .. } => ends.diverged += 1,
                End::Failed { .. } => ends.failed += 1,
            }
        }
        ends
    }
}

pub(super) fn of_all(sweeps: &[SweepResults]) -> Vec<Progress> {
    sweeps.iter().map(of).collect()
}

fn of(sweep: &SweepResults) -> Progress {
    let mut last: Vec<&TrialResult> = Vec::new();
    for result in &sweep.results {
        match last.iter_mut().find(|other| other.id == result.id) {
            Some(other) if other.budget.epochs < result.budget.epochs => *other = result,
            Some(_) => {}
            None => last.push(result),
        }
    }
    let (ended, ends) = (last.len() as u64, Ends::of(last));
    Progress { name: sweep.name.clone(), mode: sweep.mode, ended, planned: sweep.planned, ends }
}

/// Returns the section with the state of the sweeps, which stands first.
pub(super) fn section(sweeps: &[Progress]) -> Section {
    let columns = ["sweep", "mode", "networks", "done", "diverged", "failed"];
    let mut table = Table::new("", &columns);
    for Progress { name, mode, ended, planned, ends } in sweeps {
        let mode = match mode {
            Mode::Study => "study",
            Mode::Search => "search",
        };
        let Ends { done, diverged, failed } = ends;
        let counts = [done, diverged, failed].map(|count| count.to_string().into());
        let row = [name.as_str().into(), mode.into(), format!("{ended} of {planned}").into()];
        table.rows.push(row.into_iter().chain(counts).collect());
    }
    let state = |it: &Progress| format!("{}: {} of {} networks", it.name, it.ended, it.planned);
    let running: Vec<String> = sweeps.iter().filter(|it| it.ended < it.planned).map(state).collect();
    let sentence = match running.as_slice() {
        [] => "All networks are trained. ".into(),
        running => format!("Not all networks are trained yet ({}). ", enumeration(running)),
    };
    let counting = "A network with several training seeds counts here once for each seed.";
    Section { title: String::new(), parts: vec![Part::Paragraph(sentence + counting), Part::Table(table)] }
}

/// Returns what a reader must know about the results before comparing them.
pub(super) fn notes(sweeps: &[SweepResults], spaces: &[Space]) -> Vec<String> {
    let mut notes = Vec::new();
    if spaces.iter().all(|space| space.trainings.is_empty()) {
        notes.push("There are no results yet: figures and tables appear when networks are trained.".into());
    }
    let searches: Vec<String> =
        sweeps.iter().filter(|it| it.mode == Mode::Search).map(|it| it.name.clone()).collect();
    if !searches.is_empty() {
        let names = enumeration(&searches);
        notes.push(format!(
            "{names}: a search has no distribution of errors, since it stops bad networks early; error against parameters is \
             shown at the smallest budget, which every network has."
        ));
    }
    let (mut diverged, mut failed) = (0, 0);
    for space in spaces {
        let ends = Ends::of(space.trainings.iter().copied());
        (diverged, failed) = (diverged + ends.diverged as usize, failed + ends.failed as usize);
    }
    if diverged > 0 {
        notes
            .push(format!("{} diverged and counts with the error of guessing.", count(diverged, "training")));
    }
    if failed > 0 {
        notes.push(format!("{} failed and is left out.", count(failed, "training")));
    }
    notes.extend(different_conditions(spaces));
    notes
}

/// Returns a warning if networks of different spaces were trained differently.
fn different_conditions(spaces: &[Space]) -> Option<String> {
    let studies = spaces.iter().filter(|space| space.mode == Mode::Study);
    let trainings = studies.flat_map(|space| space.trainings.iter());
    let mut conditions: Vec<String> =
        trainings.map(|it| format!("{} epochs at {} px", it.budget.epochs, it.resolution_px)).collect();
    conditions.sort();
    conditions.dedup();
    let several = conditions.len() > 1;
    several.then(|| {
        let conditions = enumeration(&conditions);
        format!("The networks were not all trained alike ({conditions}): their errors are not comparable.")
    })
}
