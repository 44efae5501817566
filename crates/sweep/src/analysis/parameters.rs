//! Error against each parameter of the networks, with the range of the best (Radosavovic et al. 2020, section 3.2).

use regatta_anynet::{Fit, Stage};
use regatta_report::chart::{Axis, Figure, GREY, Mark, Panel, Point, Scale, short};
use regatta_report::page::{Part, Section, Table};
use serde::Serialize;

use super::space::Space;
use super::text::error_axis;
use crate::result::TrialResult;
use crate::statistics::{Bootstrap, Interval, range_of_best, spearman};

/// Values whose largest is more than this many times the smallest are shown by their logarithms.
const WIDE_SPAN: f64 = 20.0;

/// A parameter of a space's networks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parameter {
    /// The space.
    pub space: String,
    /// The parameter.
    pub name: String,
    /// The range of the best, from the paper's empirical bootstrap; none for fewer than four networks.
    pub best: Option<Interval>,
    /// Spearman's rank correlation with the error.
    pub rank_correlation: f64,
    /// Value and error of each network.
    pub points: Vec<Point>,
}

/// A network's parameters by name, in the order in which they are shown.
type Values = Vec<(String, f64)>;

/// Returns the parameters of each space's networks that are not equal in all of them.
pub(super) fn of_all(spaces: &[Space]) -> Vec<Parameter> {
    let of_space = |space| {
        let networks: Vec<(Values, f64)> = networks(space);
        let names = names(&networks).into_iter();
        names.filter_map(|name| Parameter::of(space, &networks, name)).collect::<Vec<_>>()
    };
    spaces.iter().flat_map(of_space).collect()
}

/// Returns the parameters and the error of each network.
fn networks(space: &Space) -> Vec<(Values, f64)> {
    space.networks.iter().map(|network| (values(network.result), network.error)).collect()
}

/// Returns the names of all parameters.
fn names(networks: &[(Values, f64)]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in networks.iter().flat_map(|network| &network.0) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

impl Parameter {
    fn of(space: &Space, networks: &[(Values, f64)], name: &str) -> Option<Self> {
        let point = |(values, error): &(Values, f64)| {
            let value = values.iter().find(|it| it.0 == name)?.1;
            value.is_finite().then_some((value, *error))
        };
        let points: Vec<Point> = networks.iter().filter_map(point).collect();
        let first = points.first()?.0;
        if points.iter().all(|point| (point.0 - first).abs() <= 1e-9 * first.abs()) {
            return None;
        }
        let (values, errors): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
        let best = range_of_best(&values, &errors, Bootstrap::default());
        let correlation = spearman(&values, &errors);
        let (space, name) = (space.label.clone(), name.to_owned());
        Some(Self { space, name, best, rank_correlation: correlation, points })
    }

    fn panel(&self, space: &Space) -> Panel {
        let values = || self.points.iter().map(|point| point.0);
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
        let scale = if low > 0.0 && high > WIDE_SPAN * low { Scale::Log } else { Scale::Linear };
        let points: Vec<Point> = self.points.iter().map(|&(value, error)| (value, 100.0 * error)).collect();
        let y = error_axis("error (%)", points.iter().map(|point| point.1));
        let mut panel = Panel::new(self.name.clone(), Axis::new("").scale(scale), y);
        if let Some(Interval { estimate, low, high }) = self.best {
            panel.marks.push(Mark::Strip { from: low, to: high, colour: space.colour });
            panel.marks.push(Mark::Rule { x: estimate, colour: GREY });
        }
        panel.marks.push(Mark::Dots { points, colour: space.colour });
        panel
    }
}

/// Returns the parameters of a network: those of its structure, those drawn for the recipe, its complexity.
fn values(result: &TrialResult) -> Values {
    let stages = &result.network.stages;
    let depth: i64 = stages.iter().map(|stage| stage.depth).sum();
    let mut values = vec![("depth (blocks)", depth as f64)];
    values.extend(linear_parameters(result));
    values.extend(
        over_blocks(stages, |stage| libm::log2(stage.group_width as f64))
            .map(|it| ("group width", libm::exp2(it))),
    );
    values.extend(
        over_blocks(stages, |stage| libm::log2(stage.bottleneck_ratio))
            .map(|it| ("bottleneck ratio", libm::exp2(it))),
    );
    values.extend(over_blocks(stages, |stage| stage.se_ratio).map(|it| ("SE ratio", it)));
    values.extend(stages.last().map(|stage| ("width of the last stage", stage.width as f64)));
    let drawn = result.drawn.iter().filter_map(|(key, value)| Some((key.clone(), value.as_f64()?)));
    let complexity =
        [("multiply-adds", result.flops), ("parameters", result.params), ("activations", result.activations)];
    let complexity = complexity.map(|(name, value)| (name.to_owned(), value as f64));
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(drawn).chain(complexity).collect()
}

/// Returns w0, wa and wm of the rule that made the network or, without one, of the fit.
fn linear_parameters(result: &TrialResult) -> Vec<(&'static str, f64)> {
    if let Some(rule) = &result.generator {
        return vec![("w0", rule.w0 as f64), ("wa", rule.wa), ("wm", rule.wm)];
    }
    let Some(fit) = Fit::of(&result.network.stages) else { return Vec::new() };
    let wm = (fit.wa > 0.0).then_some(("wm (fit)", fit.wm));
    [("w0 (fit)", fit.w0), ("wa (fit)", fit.wa)].into_iter().chain(wm).collect()
}

/// Returns the mean of a stage's value over all blocks.
fn over_blocks(stages: &[Stage], value: impl Fn(&Stage) -> f64) -> Option<f64> {
    let blocks: i64 = stages.iter().map(|stage| stage.depth).sum();
    let sum: f64 = stages.iter().map(|stage| stage.depth as f64 * value(stage)).sum();
    (blocks > 0).then(|| sum / blocks as f64)
}

/// Returns the section with a figure and a table for each space, if there are parameters.
pub(super) fn section(parameters: &[Parameter], spaces: &[Space]) -> Option<Section> {
    let mut section = Section::new("Error against each parameter");
    section.parts.push(Part::Paragraph(
        "Each dot is a network. The light strip is the range of the best by the paper's empirical bootstrap: 25 % of the networks are \
         drawn with replacement and the one with the smallest error is taken, many times; the strip encloses 95 % of these, the line is \
         their median. A narrow strip says that the parameter matters and which values are good. Where stages differ, group width and \
         bottleneck ratio are geometric means over the blocks, the SE ratio is the mean."
            .into(),
    ));
    for space in spaces {
        let of_space: Vec<&Parameter> = parameters.iter().filter(|it| it.space == space.label).collect();
        if !of_space.is_empty() {
            section.parts.extend([figure(&of_space, space), Part::Table(table(&of_space, space))]);
        }
    }
    (!parameters.is_empty()).then_some(section)
}

fn figure(parameters: &[&Parameter], space: &Space) -> Part {
    let mut figure = Figure::new(format!("Error against each parameter of {}", space.label));
    (figure.columns, figure.panel_px) = (3, (330, 250));
    figure.panels = parameters.iter().map(|it| it.panel(space)).collect();
    let caption = format!(
        "Error of the networks of {} against each parameter, with the range of the best.",
        space.label
    );
    Part::Figure { file: format!("parameters-{}.svg", space.slug), svg: figure.svg(), caption }
}

fn table(parameters: &[&Parameter], space: &Space) -> Table {
    let columns =
        ["parameter", "best", "95 % range of the best", "range of all", "rank correlation with the error"];
    let mut table = Table::new(format!("Ranges of the best of {}", space.label), &columns);
    let range = |low: f64, high: f64| format!("{} to {}", short(low), short(high));
    for it in parameters {
        let values = || it.points.iter().map(|point| point.0);
        let all = range(values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        let best = it
            .best
            .map_or(["–".into(), "–".into()], |best| [short(best.estimate), range(best.low, best.high)]);
        let correlation = if it.rank_correlation.is_finite() {
            format!("{:.2}", it.rank_correlation)
        } else {
            "–".into()
        };
        let cells = [it.name.clone()].into_iter().chain(best).chain([all, correlation]);
        table.rows.push(cells.map(Into::into).collect());
    }
    table
}
