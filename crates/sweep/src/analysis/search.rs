//! Searches: the brackets, and the best error so far against the epochs spent.

use std::collections::BTreeMap;

use regatta_report::chart::{Axis, Figure, Mark, Panel, Point, Scale, colour};
use regatta_report::page::{Part, Section, Table};
use serde::Serialize;

use super::SweepResults;
use super::text::{error_axis, percent, percent_cell};
use crate::file::Mode;
use crate::result::TrialResult;

/// A search by its results.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchOutcome {
    /// The sweep's name.
    pub name: String,
    /// Its budgets, smallest first.
    pub rungs: Vec<RungOutcome>,
    /// The best error so far against the epochs spent by all trials together: a step whenever a trial reaches a budget.
    pub best_so_far: Vec<BestSoFar>,
    /// The result's id with the smallest error at any budget.
    pub best: Option<String>,
}

/// The trials that reached a budget.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RungOutcome {
    /// The budget.
    pub epochs: u64,
    /// Number of trials that ended there, failed ones included.
    pub ended: usize,
    /// Number of those that went on to a larger budget so far.
    pub promoted: usize,
    /// The smallest error there.
    pub best: Option<f64>,
}

/// The best error after some cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BestSoFar {
    /// Epochs spent by all trials together; a promotion counts with the epochs that it adds.
    pub epochs: u64,
    /// The smallest error so far.
    pub error: f64,
}

pub(super) fn of_all(sweeps: &[SweepResults]) -> Vec<SearchOutcome> {
    sweeps.iter().filter(|sweep| sweep.mode == Mode::Search).map(SearchOutcome::of).collect()
}

/// Returns the results of each trial, smallest budget first.
fn trials(results: &[TrialResult]) -> BTreeMap<&str, Vec<&TrialResult>> {
    let mut trials: BTreeMap<&str, Vec<&TrialResult>> = BTreeMap::new();
    for result in results {
        trials.entry(&result.id).or_default().push(result);
    }
    trials.values_mut().for_each(|results| results.sort_by_key(|result| result.budget.epochs));
    trials
}

impl SearchOutcome {
    fn of(sweep: &SweepResults) -> Self {
        let with_error = sweep.results.iter().filter_map(|result| Some((result, result.error()?)));
        let best = with_error.min_by(|first, second| first.1.total_cmp(&second.1));
        Self {
            name: sweep.name.clone(),
            rungs: rungs(&sweep.results),
            best_so_far: best_so_far(&sweep.results),
            best: best.map(|best| best.0.id.clone()),
        }
    }
}

fn rungs(results: &[TrialResult]) -> Vec<RungOutcome> {
    let trials = trials(results);
    let mut budgets: Vec<u64> = results.iter().map(|result| result.budget.epochs).collect();
    budgets.sort_unstable();
    budgets.dedup();
    let rung = |epochs: u64| {
        let at = |results: &&Vec<&TrialResult>| results.iter().any(|result| result.budget.epochs == epochs);
        let beyond =
            |results: &&Vec<&TrialResult>| results.iter().any(|result| result.budget.epochs > epochs);
        let errors = results.iter().filter(|it| it.budget.epochs == epochs).filter_map(TrialResult::error);
        RungOutcome {
            epochs,
            ended: trials.values().filter(at).count(),
            promoted: trials.values().filter(at).filter(beyond).count(),
            best: errors.min_by(f64::total_cmp),
        }
    };
    budgets.into_iter().map(rung).collect()
}

/// Follows the results in the order in which they ended.
fn best_so_far(results: &[TrialResult]) -> Vec<BestSoFar> {
    let mut in_order: Vec<&TrialResult> = results.iter().collect();
    in_order.sort_by(|first, second| first.ended_at.cmp(&second.ended_at));
    let mut reached: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut spent, mut best) = (0, f64::INFINITY);
    let mut steps = Vec::new();
    for result in in_order {
        let before = reached.entry(&result.id).or_default();
        spent += result.budget.epochs.saturating_sub(*before);
        *before = result.budget.epochs.max(*before);
        best = result.error().map_or(best, |error| best.min(error));
        if best.is_finite() {
            steps.push(BestSoFar { epochs: spent, error: best });
        }
    }
    steps
}

/// Returns the section, if there are searches.
pub(super) fn section(searches: &[SearchOutcome], sweeps: &[SweepResults]) -> Option<Section> {
    if searches.is_empty() {
        return None;
    }
    let columns = ["search", "budget (epochs)", "ended", "promoted so far", "smallest error"];
    let mut table = Table::new("The brackets", &columns);
    for (search, rung) in
        searches.iter().flat_map(|search| search.rungs.iter().map(move |rung| (search, rung)))
    {
        let counts = [rung.epochs, rung.ended as u64, rung.promoted as u64].map(|it| it.to_string().into());
        let row = [search.name.as_str().into()].into_iter().chain(counts).chain([percent_cell(rung.best)]);
        table.rows.push(row.collect());
    }
    let mut parts: Vec<Part> = figure(searches, sweeps).into_iter().collect();
    parts.push(Part::Table(table));
    parts.push(Part::List(searches.iter().filter_map(sentence).collect()));
    Some(Section { title: "Search".into(), parts })
}

fn sentence(search: &SearchOutcome) -> Option<String> {
    let last = search.best_so_far.last()?;
    let best = search.best.as_ref()?;
    let error = percent(last.error);
    Some(format!(
        "{}: the best is {best} with an error of {error}, after {} epochs in total.",
        search.name, last.epochs
    ))
}

fn figure(searches: &[SearchOutcome], sweeps: &[SweepResults]) -> Option<Part> {
    if searches.iter().all(|search| search.best_so_far.is_empty()) {
        return None;
    }
    let mut figure = Figure::new("Error by budget, and the best error so far by cost");
    (figure.columns, figure.panel_px) = (2, (500, 380));
    let of_search = sweeps.iter().filter(|sweep| sweep.mode == Mode::Search);
    let lines: Vec<Vec<Vec<Point>>> = of_search.map(|sweep| error_by_budget(&sweep.results)).collect();
    let points = || lines.iter().flatten().flatten();
    let errors = || points().map(|point| point.1);
    let budgets = points().map(|point| point.0);
    let (low, high) = budgets.fold((f64::INFINITY, 0.0_f64), |(low, high), it| (low.min(it), high.max(it)));
    let scale = if high > 4.0 * low { Scale::Log } else { Scale::Whole };
    let budget = Axis::new("budget of a trial (epochs)").scale(scale);
    let mut by_budget = Panel::new("Error by budget", budget, error_axis("error (%)", errors()));
    let best = || searches.iter().flat_map(|it| &it.best_so_far).map(|it| 100.0 * it.error);
    let spent = Axis::new("epochs of all trials together").limits(0.0..f64::INFINITY);
    let mut by_cost = Panel::new("Best error so far", spent, error_axis("error (%)", best()));
    for (index, (search, lines)) in searches.iter().zip(&lines).enumerate() {
        let colour = colour(index);
        figure.legend.push((search.name.clone(), colour));
        for points in lines {
            by_budget.marks.push(Mark::Line { points: points.clone(), colour, width_px: 1 });
            by_budget.marks.push(Mark::Dots { points: points.clone(), colour });
        }
        by_cost.marks.push(Mark::Line { points: best_line(&search.best_so_far), colour, width_px: 2 });
    }
    figure.panels = vec![by_budget, by_cost];
    let caption = "Left: a dot for each trial and budget, a line joins those of one trial. Right: the smallest error at any budget so far, \
                   against the epochs that all trials spent together; the search whose line is lower found more at the same cost.";
    Some(Part::Figure { file: "search.svg".into(), svg: figure.svg(), caption: caption.into() })
}

fn error_by_budget(results: &[TrialResult]) -> Vec<Vec<Point>> {
    let point = |result: &&TrialResult| Some((result.budget.epochs as f64, 100.0 * result.error()?));
    let lines = trials(results).into_values().map(|results| results.iter().filter_map(point).collect());
    lines.filter(|points: &Vec<Point>| !points.is_empty()).collect()
}

fn best_line(steps: &[BestSoFar]) -> Vec<Point> {
    let mut line: Vec<Point> = Vec::new();
    for step in steps {
        let before = line.last().map(|point| (step.epochs as f64, point.1));
        line.extend(before.into_iter().chain([(step.epochs as f64, 100.0 * step.error)]));
    }
    line
}
