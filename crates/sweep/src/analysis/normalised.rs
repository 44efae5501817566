//! The comparison at equal complexity: networks are weighted so that all spaces have the same distribution of multiply-adds
//! (Radosavovic et al. 2019, "On Network Design Spaces for Visual Recognition", section 3.3).

use regatta_report::chart::{Axis, Figure, Mark, Panel, Point};
use regatta_report::page::{Part, Section, Table};
use serde::Serialize;

use super::distribution::step_line;
use super::space::Space;
use super::text::{count, error_axis, percent};
use crate::statistics::{EqualComplexity, WeightedEdf, equal_complexity_weights};

/// Number of networks that each bin of the smallest space should have.
const NETWORKS_PER_BIN: usize = 5;
const MOST_BINS: usize = 10;

/// The errors of a space's networks, weighted to the multiply-adds that all spaces have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Normalised {
    /// The space.
    pub space: String,
    /// The weighted median error.
    pub median: f64,
    /// The weighted mean error.
    pub mean: f64,
    /// The weighted distribution function: each error with its value just above.
    pub steps: Vec<Point>,
    /// Number of networks that have weight.
    pub networks: usize,
}

/// Weights the networks of all spaces that have any; empty for fewer than two such spaces or without common multiply-adds.
pub(super) fn of_all(spaces: &[&Space]) -> Vec<Normalised> {
    let spaces: Vec<&Space> = spaces.iter().copied().filter(|it| it.networks.len() >= 2).collect();
    if spaces.len() < 2 {
        return Vec::new();
    }
    let flops: Vec<Vec<f64>> = spaces
        .iter()
        .map(|space| space.networks.iter().map(|network| network.result.flops as f64).collect())
        .collect();
    let groups: Vec<&[f64]> = flops.iter().map(Vec::as_slice).collect();
    let smallest = flops.iter().map(Vec::len).min().unwrap_or(0);
    let bins = (smallest / NETWORKS_PER_BIN).clamp(1, MOST_BINS);
    let EqualComplexity { weights, .. } = equal_complexity_weights(&groups, bins);
    if weights.len() != spaces.len() || weights.iter().any(|it| !it.iter().any(|weight| *weight > 0.0)) {
        return Vec::new();
    }
    spaces.iter().zip(weights).map(|(space, weights)| Normalised::of(space, &weights)).collect()
}

impl Normalised {
    fn of(space: &Space, weights: &[f64]) -> Self {
        let edf = WeightedEdf::new(&space.errors(), weights);
        let networks = weights.iter().filter(|weight| **weight > 0.0).count();
        let (median, mean, steps) = (edf.median(), edf.mean(), edf.steps());
        Self { space: space.label.clone(), median, mean, steps, networks }
    }
}

/// Returns the section, or why there is none.
pub(super) fn section(normalised: &[Normalised], spaces: &[&Space]) -> Result<Section, Option<String>> {
    if normalised.is_empty() {
        let several = spaces.iter().filter(|space| space.networks.len() >= 2).count() >= 2;
        let reason = "There is no comparison at equal complexity: the spaces' networks have no multiply-adds in common.";
        return Err(several.then(|| reason.into()));
    }
    let mut table = Table::new("", &["space", "networks with weight", "weighted median", "weighted mean"]);
    for it in normalised {
        let numbers = [it.networks.to_string(), percent(it.median), percent(it.mean)].map(Into::into);
        table.rows.push([it.space.as_str().into()].into_iter().chain(numbers).collect());
    }
    let explanation = "Networks with more multiply-adds tend to have smaller errors. Here each space's networks are weighted so that \
                       all spaces have the same distribution of multiply-adds; those outside of the common range have no weight.";
    let parts = vec![Part::Paragraph(explanation.into()), figure(normalised, spaces), Part::Table(table)];
    Ok(Section { title: "At equal complexity".into(), parts })
}

fn figure(normalised: &[Normalised], spaces: &[&Space]) -> Part {
    let errors = || normalised.iter().flat_map(|it| &it.steps).map(|step| 100.0 * step.0);
    let largest = errors().fold(0.0, f64::max);
    let x = error_axis("error e (%)", errors());
    let mut panel = Panel::new("", x, Axis::new("weight of networks with an error below e").shown(0.0..1.0));
    let mut figure = Figure::new("Distribution of errors at equal multiply-adds");
    for it in normalised {
        let Some(space) = spaces.iter().find(|space| space.label == it.space) else { continue };
        let steps: Vec<Point> = it.steps.iter().map(|step| (100.0 * step.0, step.1)).collect();
        let points = step_line(&steps, largest);
        panel.marks.push(Mark::Line { points, colour: space.colour, width_px: 2 });
        figure.legend.push((format!("{} ({})", it.space, count(it.networks, "network")), space.colour));
    }
    figure.panels.push(panel);
    let caption = "Distribution functions of the errors, weighted to equal multiply-adds.";
    Part::Figure { file: "edf-normalised.svg".into(), svg: figure.svg(), caption: caption.into() }
}
