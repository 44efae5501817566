//! The distribution of errors of each space (Radosavovic et al. 2020, section 3.1).

use regatta_anynet::edf::{Band, Bootstrap, Edf};
use regatta_report::chart::{Axis, Figure, Mark, Panel, Point};
use regatta_report::page::{Part, Section, Table};
use serde::Serialize;

use super::progress::Ends;
use super::space::Space;
use super::text::{count, error_axis, percent_cell, points};
use crate::statistics::SeedNoise;

/// The errors of a space's networks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Distribution {
    /// The space.
    pub space: String,
    /// Number of networks that have an error; several training seeds of a network count once, with their mean.
    pub networks: usize,
    /// How the trainings ended.
    pub ends: Ends,
    /// The smallest error.
    pub min: Option<f64>,
    /// The median error.
    pub median: Option<f64>,
    /// The mean error.
    pub mean: Option<f64>,
    /// The distribution function with its 95 % bootstrap band.
    pub band: Option<Band>,
    /// How much the errors differ between training seeds of one network and between networks.
    pub seed_noise: Option<SeedNoise>,
}

impl Distribution {
    pub(super) fn of(space: &Space) -> Self {
        let edf = Edf::new(space.errors()).ok();
        Self {
            space: space.label.clone(),
            networks: space.networks.len(),
            ends: Ends::of(space.trainings.iter().copied()),
            min: edf.as_ref().map(Edf::min),
            median: edf.as_ref().map(Edf::median),
            mean: edf.as_ref().map(Edf::mean),
            band: edf.and_then(|edf| edf.band(Bootstrap::default()).ok()),
            seed_noise: seed_noise(space),
        }
    }
}

/// Returns the section with table and figure, if there are spaces of studies.
pub(super) fn section(distributions: &[Distribution], spaces: &[&Space]) -> Option<Section> {
    if distributions.is_empty() {
        return None;
    }
    let mut section = Section::new("Distributions of errors");
    section.parts.extend(figure(distributions, spaces));
    section.parts.push(Part::Table(table(distributions)));
    section.parts.extend(noise_table(distributions).map(Part::Table));
    Some(section)
}

/// Returns the noise between training seeds, if some networks have several.
fn seed_noise(space: &Space) -> Option<SeedNoise> {
    let groups: Vec<Vec<f64>> = space.networks.iter().map(|network| network.errors.clone()).collect();
    SeedNoise::of(&groups)
}

/// Returns the table of the noise, if it is known for a space.
fn noise_table(distributions: &[Distribution]) -> Option<Table> {
    let columns = ["space", "networks with several seeds", "between seeds", "between networks"];
    let caption = "Standard deviation of the error between training seeds of one network, and between networks, in percentage points";
    let mut table = Table::new(caption, &columns);
    for (it, noise) in distributions.iter().filter_map(|it| Some((it, it.seed_noise?))) {
        let numbers = [noise.networks.to_string(), points(noise.within), points(noise.between)];
        table.rows.push([it.space.clone()].into_iter().chain(numbers).map(Into::into).collect());
    }
    (!table.rows.is_empty()).then_some(table)
}

fn table(distributions: &[Distribution]) -> Table {
    let columns = ["space", "networks", "done", "diverged", "failed", "min", "median", "mean"];
    let mut table = Table::new("Errors on the validation images by space", &columns);
    for it in distributions {
        let Ends { done, diverged, failed } = it.ends;
        let counts = [it.networks as u64, done, diverged, failed].map(|count| count.to_string().into());
        let errors = [it.min, it.median, it.mean].map(percent_cell);
        table.rows.push([it.space.as_str().into()].into_iter().chain(counts).chain(errors).collect());
    }
    table
}

fn figure(distributions: &[Distribution], spaces: &[&Space]) -> Option<Part> {
    let errors = || spaces.iter().flat_map(|space| &space.networks).map(|network| 100.0 * network.error);
    let largest = errors().max_by(f64::total_cmp)?;
    let x = error_axis("error e (%)", errors());
    let y = Axis::new("share of networks with an error below e").shown(0.0..1.0);
    let mut panel = Panel::new("", x, y);
    let mut figure = Figure::new("Distribution of errors by space");
    let drawn =
        || distributions.iter().zip(spaces).filter_map(|(it, space)| Some((it.band.as_ref()?, space)));
    for (band, space) in drawn() {
        panel.marks.push(Mark::Band { points: band_area(band), colour: space.colour });
    }
    for (band, space) in drawn() {
        let steps: Vec<Point> = band.points.iter().map(|it| (100.0 * it.error, it.share)).collect();
        let points = step_line(&steps, largest);
        panel.marks.push(Mark::Line { points, colour: space.colour, width_px: 2 });
        let networks = count(space.networks.len(), "network");
        figure.legend.push((format!("{} ({networks})", space.label), space.colour));
    }
    figure.panels.push(panel);
    let caption = "Share of each space's networks with an error below e: the further left and up, the better the space. The light \
                   band is the pointwise 95 % bootstrap interval.";
    Some(Part::Figure { file: "edf.svg".into(), svg: figure.svg(), caption: caption.into() })
}

/// Returns the corners of a function that is 0 before its first step, changes to a step's value just above its place, and is shown
/// up to `end`.
pub(super) fn step_line(steps: &[Point], end: f64) -> Vec<Point> {
    let mut line = Vec::new();
    let mut value = 0.0;
    for &(place, next) in steps {
        line.extend([(place, value), (place, next)]);
        value = next;
    }
    line.extend((!steps.is_empty()).then_some((end, value)));
    line
}

fn band_area(band: &Band) -> Vec<(f64, f64, f64)> {
    let mut area = Vec::new();
    let mut before = (0.0, 0.0);
    for point in &band.points {
        let error = 100.0 * point.error;
        area.extend([(error, before.0, before.1), (error, point.lower, point.upper)]);
        before = (point.lower, point.upper);
    }
    area
}
