//! `curves.svg`: loss and accuracy by epoch, redrawn after each epoch.

use std::ops::Range;
use std::path::Path;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use regatta_run_folder::{EpochRecord, StorageError, write_atomic};

use crate::chart::{Area, BLUE, Colour, DrawError, GRID, Point, TEXT, VERMILLION, draw_legend_entry, font};

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Width and height of the whole picture.
const SIZE_PX: (u32, u32) = (1040, 476);

/// Height of the line with the run's name.
const NAME_PX: u32 = 36;

/// Height of a panel's title and legend.
const HEAD_PX: u32 = 72;

/// Width of the axis labels left of a plot.
const LEFT_PX: u32 = 66;

/// Largest number of points for which a curve shows a dot at each point.
const MOST_DOTS: usize = 40;

struct Series {
    name: &'static str,
    colour: Colour,
    points: Vec<Point>,
    /// The value that is marked with a ring and shown in the legend, if any.
    best: Option<Best>,
}

#[derive(Clone, Copy)]
enum Best {
    Lowest,
    Highest,
}

struct Panel {
    title: &'static str,
    series: Vec<Series>,
    /// The range of possible values.
    limits: Range<f64>,
}

/// Draws the losses and accuracies of the run `name` by epoch into the file `path`, which is replaced atomically. Missing and
/// non-finite values are omitted.
///
/// # Errors
/// If the file cannot be written.
pub fn draw(path: &Path, name: &str, rows: &[EpochRecord]) -> Result<(), StorageError> {
    let mut svg = String::new();
    draw_panels(&mut svg, name, rows).map_err(|error| StorageError::Content {
        path: path.to_owned(),
        found: format!("the curves cannot be drawn: {error}"),
    })?;
    write_atomic(path, svg.as_bytes())
}

fn draw_panels<'a>(svg: &'a mut String, name: &str, rows: &[EpochRecord]) -> Result<(), DrawError<'a>> {
    let picture = SVGBackend::with_string(svg, SIZE_PX).into_drawing_area();
    picture.fill(&WHITE)?;
    let (head, panels) = picture.split_vertically(NAME_PX);
    head.draw(&Text::new(name, (LEFT_PX as i32, 10), font(21)))?;
    let (left, right) = panels.split_horizontally(SIZE_PX.0 / 2);
    let epochs = epoch_range(rows);
    draw_panel(&left, &loss_panel(rows), epochs.clone())?;
    draw_panel(&right, &accuracy_panel(rows), epochs)?;
    picture.present()
}

fn loss_panel(rows: &[EpochRecord]) -> Panel {
    let training = points(rows, |row| Some(row.train_loss));
    let validation = points(rows, |row| row.val_loss);
    Panel {
        title: "Loss",
        series: vec![
            Series { name: "training", colour: BLUE, points: training, best: None },
            Series { name: "validation", colour: VERMILLION, points: validation, best: Some(Best::Lowest) },
        ],
        limits: 0.0..f64::INFINITY,
    }
}

fn accuracy_panel(rows: &[EpochRecord]) -> Panel {
    let training = points(rows, |row| Some(row.train_top1));
    let validation = points(rows, |row| row.val_top1);
    Panel {
        title: "Accuracy (top-1)",
        series: vec![
            Series { name: "training", colour: BLUE, points: training, best: None },
            Series { name: "validation", colour: VERMILLION, points: validation, best: Some(Best::Highest) },
        ],
        limits: 0.0..1.0,
    }
}

fn points(rows: &[EpochRecord], value: impl Fn(&EpochRecord) -> Option<f64>) -> Vec<Point> {
    let values = rows.iter().filter_map(|row| Some((row.epoch as f64, value(row)?)));
    values.filter(|point| point.1.is_finite()).collect()
}

/// Returns the range of all epochs, extended by half an epoch on either side.
fn epoch_range(rows: &[EpochRecord]) -> Range<f64> {
    let epochs = || rows.iter().map(|row| row.epoch);
    let (first, last) = (epochs().min().unwrap_or(1), epochs().max().unwrap_or(1));
    first as f64 - 0.5..last as f64 + 0.5
}

/// Returns the range of all values with a margin above and below, clipped to the limits.
fn value_range(panel: &Panel) -> Range<f64> {
    let values = || panel.series.iter().flat_map(|series| &series.points).map(|point| point.1);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    if low > high {
        return 0.0..1.0;
    }
    let margin = if high > low { 0.08 * (high - low) } else { 0.1 * high.abs().max(0.1) };
    (low - margin).max(panel.limits.start)..(high + margin).min(panel.limits.end)
}

fn draw_panel<'a>(area: &Area<'a>, panel: &Panel, epochs: Range<f64>) -> Result<(), DrawError<'a>> {
    let (head, plot) = area.split_vertically(HEAD_PX);
    draw_head(&head, panel)?;
    let values = value_range(panel);
    let decimals = decimals(&values);
    let mut chart = ChartBuilder::on(&plot)
        .margin_right(24)
        .x_label_area_size(48)
        .y_label_area_size(LEFT_PX)
        .build_cartesian_2d(epochs.clone(), values)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(TEXT)
        .label_style(font(15))
        .axis_desc_style(font(16))
        .x_desc("epoch")
        .x_labels((epochs.end - epochs.start).min(10.0) as usize)
        .y_labels(8)
        .x_label_formatter(&|epoch| if epoch.fract() == 0.0 { format!("{epoch}") } else { String::new() })
        .y_label_formatter(&|value| format!("{value:.decimals$}"))
        .draw()?;
    panel.series.iter().try_for_each(|series| draw_series(&mut chart, series))
}

/// Draws the title and the legend above the plot, where they hide no curve.
fn draw_head<'a>(head: &Area<'a>, panel: &Panel) -> Result<(), DrawError<'a>> {
    let mut x = LEFT_PX as i32;
    head.draw(&Text::new(panel.title, (x, 12), font(21)))?;
    for series in &panel.series {
        x = draw_legend_entry(head, (x, 50), &series.label(), series.colour)?;
    }
    Ok(())
}

/// Returns the number of decimals that distinguishes the ticks of an axis.
fn decimals(values: &Range<f64>) -> usize {
    match values.end - values.start {
        span if span > 0.08 => 2,
        span if span > 0.008 => 3,
        _ => 4,
    }
}

fn draw_series<'a>(chart: &mut Chart<'_, 'a>, series: &Series) -> Result<(), DrawError<'a>> {
    let colour = series.colour;
    chart.draw_series(LineSeries::new(series.points.iter().copied(), colour.stroke_width(2)))?;
    if series.points.len() <= MOST_DOTS {
        chart.draw_series(series.points.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
    }
    chart.draw_series(series.best_point().map(|point| Circle::new(point, 7, TEXT.stroke_width(2))))?;
    Ok(())
}

impl Series {
    fn best_point(&self) -> Option<Point> {
        let by_value = |a: &Point, b: &Point| a.1.total_cmp(&b.1);
        let points = self.points.iter().copied();
        match self.best? {
            Best::Lowest => points.min_by(by_value),
            // The earliest of equal values, as above.
            Best::Highest => points.rev().max_by(by_value),
        }
    }

    /// Returns the text of the legend. It includes the best value, which would be crossed by curves if it stood at its point.
    fn label(&self) -> String {
        match self.best_point() {
            Some((epoch, value)) => format!("{}, best {value:.3} (epoch {epoch})", self.name),
            None => self.name.to_owned(),
        }
    }
}
