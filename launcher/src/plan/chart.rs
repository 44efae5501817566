//! Images a second and efficiency by ranks, drawn: speed on two logarithmic axes, on which scaling without loss is a straight line.

use anyhow::{Result, anyhow};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::scaling::Row;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type DrawError<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;
/// Logarithm of the ranks to base 2, and a value.
type Point = (f64, f64);

const SIZE_PX: (u32, u32) = (1040, 440);
// Okabe and Ito's colours, which colour-blind readers tell apart too.
const BLUE: RGBColor = RGBColor(0, 114, 178);
const GREY: RGBColor = RGBColor(150, 150, 150);
const TEXT: RGBColor = RGBColor(51, 51, 51);
const GRID: RGBColor = RGBColor(222, 222, 222);

struct Panel {
    title: &'static str,
    planned: Vec<Point>,
    /// Values are logarithms to base 10.
    is_logarithmic: bool,
    /// Values of linear scaling.
    linear: Vec<Point>,
    decimals: usize,
}

/// Draws `rows` as SVG.
///
/// # Errors
/// If plotters cannot draw them.
pub(crate) fn render_svg(rows: &[Row]) -> Result<String> {
    let mut svg = String::new();
    draw_panels(&mut svg, rows).map_err(|error| anyhow!("the plan cannot be drawn: {error}"))?;
    Ok(svg)
}

fn draw_panels<'a>(svg: &'a mut String, rows: &[Row]) -> Result<(), DrawError<'a>> {
    let picture = SVGBackend::with_string(svg, SIZE_PX).into_drawing_area();
    picture.fill(&WHITE)?;
    let (left, right) = picture.split_horizontally(SIZE_PX.0 / 2);
    let points =
        |value: &dyn Fn(&Row) -> f64| rows.iter().map(|row| ((row.gpus as f64).log2(), value(row))).collect();
    let alone = rows[0].images_per_second;
    let speed = Panel {
        title: "Images a second (grey: linear)",
        planned: points(&|row| row.images_per_second.log10()),
        is_logarithmic: true,
        linear: points(&|row| (alone * row.gpus as f64).log10()),
        decimals: 0,
    };
    let efficiency = Panel {
        title: "Efficiency",
        planned: points(&|row| row.efficiency),
        is_logarithmic: false,
        linear: points(&|_| 1.0),
        decimals: 2,
    };
    draw_panel(&left, &speed)?;
    draw_panel(&right, &efficiency)?;
    picture.present()
}

fn draw_panel<'a>(area: &Area<'a>, panel: &Panel) -> Result<(), DrawError<'a>> {
    let values = || panel.linear.iter().chain(&panel.planned).map(|point| point.1);
    let highest = values().fold(f64::MIN, f64::max);
    let (bottom, top) = match panel.is_logarithmic {
        // Whole decades, so that both ends are labelled.
        true => (values().fold(f64::MAX, f64::min).floor(), highest.ceil()),
        false => (0.0, 1.05 * highest),
    };
    let last = panel.planned.iter().map(|point| point.0).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, font(21))
        .margin(12)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(-0.2..last + 0.2, bottom..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(TEXT)
        .label_style(font(15))
        .axis_desc_style(font(16))
        .x_desc("ranks")
        .x_labels(last as usize + 2)
        .y_labels(if panel.is_logarithmic { (top - bottom) as usize + 1 } else { 8 })
        .x_label_formatter(&|power| {
            if power.fract() == 0.0 { format!("{}", power.exp2()) } else { String::new() }
        })
        .y_label_formatter(&|&value| {
            let value = if panel.is_logarithmic { 10_f64.powf(value) } else { value };
            format!("{value:.decimals$}", decimals = panel.decimals)
        })
        .draw()?;
    draw_line(&mut chart, &panel.linear, GREY)?;
    draw_line(&mut chart, &panel.planned, BLUE)
}

fn draw_line<'a>(chart: &mut Chart<'_, 'a>, points: &[Point], colour: RGBColor) -> Result<(), DrawError<'a>> {
    chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
    chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
    Ok(())
}

fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&TEXT)
}
