//! A page as one JSON document, which the page's script draws and can replace by a newer one.

use std::time::SystemTime;

use regatta_run_folder::{Schema, utc};
use serde::Serialize;

use super::attempts::{self, AttemptData};
use super::curves::Curves;
use super::evaluation::Evaluation;
use super::ranks::Ranks;
use super::summary::Summary;
use super::{RunFiles, html};
use crate::chart::PALETTE;

/// Points of all runs together in one chart.
const MOST_POINTS: usize = 8000;

/// What a page shows.
#[derive(Clone, Debug, Serialize)]
pub struct Document {
    /// Version of the format.
    pub schema: Schema<1>,
    /// Title of the page.
    pub title: String,
    /// Time at which the files were read, UTC, RFC 3339.
    pub made_at: String,
    /// Version of the program.
    pub version: &'static str,
    /// Most points of a curve.
    pub most_points: usize,
    /// The colours of runs, in turn.
    pub palette: Vec<String>,
    /// The runs.
    pub runs: Vec<RunData>,
}

/// What a page shows of a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunData {
    /// What it is called on the page: its name, or its path if another run has the same name.
    pub label: String,
    /// The run in a few numbers.
    pub summary: Summary,
    /// Time of the last sign of life of any rank, UTC, RFC 3339; none if there never was one.
    pub last_seen_at: Option<String>,
    /// What it measured.
    pub curves: Curves,
    /// Its attempts.
    pub attempts: Vec<AttemptData>,
    /// Its ranks.
    pub ranks: Ranks,
    /// Its saved evaluations.
    pub evaluations: Vec<Evaluation>,
    /// The values of its resolved recipe by key.
    pub recipe: std::collections::BTreeMap<String, String>,
    /// The versions that resolved the recipe, in a sentence.
    pub resolved: Option<String>,
    /// What could not be read.
    pub notes: Vec<String>,
}

impl Document {
    /// Prepares the page of some runs, in their order.
    pub fn of(runs: &[RunFiles]) -> Self {
        let most_points = (MOST_POINTS / runs.len().max(1)).clamp(200, 2000);
        let names = |name: &str| runs.iter().filter(|run| run.name == name).count();
        let label = |run: &RunFiles| match names(&run.name) {
            1 => run.name.clone(),
            _ => run.path.display().to_string(),
        };
        let data: Vec<RunData> = runs.iter().map(|run| RunData::of(run, label(run), most_points)).collect();
        Self {
            schema: Schema,
            title: title(&data),
            made_at: utc(SystemTime::now()),
            version: env!("CARGO_PKG_VERSION"),
            most_points,
            palette: PALETTE.map(|it| format!("#{:02x}{:02x}{:02x}", it.0, it.1, it.2)).into(),
            runs: data,
        }
    }

    /// Returns the page: one HTML file that makes no request.
    pub fn html(&self) -> String {
        html::page(self, None)
    }

    /// Returns the page for a server, which draws newer documents as they come from `events`, the address of server-sent events with
    /// the name `document`, relative to the page.
    pub fn live_html(&self, events: &str) -> String {
        html::page(self, Some(events))
    }

    /// Returns the document as JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and strings always have a JSON form")
    }
}

impl RunData {
    fn of(run: &RunFiles, label: String, most_points: usize) -> Self {
        let summary = Summary::of(run);
        Self {
            label,
            last_seen_at: SystemTime::now()
                .checked_sub(run.silent_for)
                .filter(|&at| at > SystemTime::UNIX_EPOCH)
                .map(utc),
            curves: Curves::of(&run.records, |it| run.planned_images_per_second(it), most_points),
            attempts: attempts::of(&run.attempts),
            ranks: Ranks::of(&run.ledgers, &run.records, summary.ranks),
            evaluations: run
                .evaluations
                .iter()
                .map(|(record, images)| Evaluation::of(record, images))
                .collect(),
            recipe: run.recipe.clone(),
            resolved: run.resolved.clone(),
            notes: run.notes.clone(),
            summary,
        }
    }
}

fn title(runs: &[RunData]) -> String {
    match runs {
        [run] => format!("Run {}", run.label),
        [one, other] => format!("Runs {} and {}", one.label, other.label),
        _ => format!("{} runs", runs.len()),
    }
}
