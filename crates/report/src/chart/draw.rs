//! Draws a figure as SVG.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Placed;
use super::figure::{Figure, Mark, Panel};
use super::{Area, DrawError, GRID, Point, TEXT, draw_legend_entry, font, legend_end};

/// Distance of the title and the legend from the left edge.
const LEFT_PX: i32 = 22;
/// Height of the line with the title.
const TITLE_PX: i32 = 40;
/// Height of a line of the legend.
const LEGEND_PX: i32 = 24;
/// Space of a panel above, right, below and left of its plot.
const MARGINS_PX: (i32, i32, i32, i32) = (34, 18, 52, 74);
/// Opacity of bands, strips and boxes.
const LIGHT: f64 = 0.16;

pub(super) fn svg(figure: &Figure) -> String {
    let mut svg = String::new();
    draw(&mut svg, figure).expect("a drawing into memory cannot fail");
    svg
}

fn draw<'a>(svg: &'a mut String, figure: &Figure) -> Result<(), DrawError<'a>> {
    let columns = figure.columns.clamp(1, figure.panels.len().max(1)) as u32;
    let rows = (figure.panels.len() as u32).div_ceil(columns).max(1);
    let (width, height) = figure.panel_px;
    let legend = legend_places(figure, (columns * width) as i32);
    let lines = legend.last().map_or(0, |last| last.1 / LEGEND_PX + 1);
    let head = TITLE_PX + lines * LEGEND_PX + 6;

    let picture = SVGBackend::with_string(svg, (columns * width, rows * height + head as u32));
    let picture = picture.into_drawing_area();
    picture.fill(&WHITE)?;
    picture.draw(&Text::new(figure.title.as_str(), (LEFT_PX, 12), font(19)))?;
    for ((name, colour), (x, y)) in figure.legend.iter().zip(legend) {
        draw_legend_entry(&picture, (x, TITLE_PX + 10 + y), name, *colour)?;
    }
    for (index, panel) in (0_u32..).zip(&figure.panels) {
        let left = (index % columns * width) as i32;
        let top = head + (index / columns * height) as i32;
        draw_panel(&picture, panel, (left, top), (width as i32, height as i32))?;
    }
    picture.present()
}

/// Returns the left end of each entry of the legend and the top of its line, both in pixels.
fn legend_places(figure: &Figure, width: i32) -> Vec<(i32, i32)> {
    let (mut x, mut y) = (LEFT_PX, 0);
    let mut places = Vec::new();
    for (name, _) in &figure.legend {
        if x > LEFT_PX && legend_end(x, name) > width {
            (x, y) = (LEFT_PX, y + LEGEND_PX);
        }
        places.push((x, y));
        x = legend_end(x, name);
    }
    places
}

/// The plot's axes in pixels.
struct Plot<'a, 'b> {
    area: &'b Area<'a>,
    x: Placed,
    y: Placed,
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

fn draw_panel<'a>(
    area: &Area<'a>,
    panel: &Panel,
    (left, top): (i32, i32),
    (width, height): (i32, i32),
) -> Result<(), DrawError<'a>> {
    let (above, beside, below, axis) = MARGINS_PX;
    let (right, bottom) = (left + width - beside, top + height - if panel.axes { below } else { 4 });
    let (left, top) = (left + if panel.axes { axis } else { LEFT_PX }, top + above);
    let extents: Vec<_> = panel.marks.iter().map(Mark::extent).collect();
    let x = panel.x.place(extents.iter().flat_map(|it| &it.0).copied(), left, right);
    let y = panel.y.place(extents.iter().flat_map(|it| &it.1).copied(), bottom, top);
    let plot = Plot { area, x, y, left, right, top, bottom };
    area.draw(&Text::new(panel.title.as_str(), (left, top - 24), font(16)))?;
    if panel.axes {
        plot.draw_axes(panel)?;
    }
    panel.marks.iter().try_for_each(|mark| plot.draw_mark(mark))
}

impl<'a> Plot<'a, '_> {
    fn draw_axes(&self, panel: &Panel) -> Result<(), DrawError<'a>> {
        let (left, right, top, bottom) = (self.left, self.right, self.top, self.bottom);
        let most = ((bottom - top) / 40).max(2) as usize;
        for tick in self.y.ticks(most) {
            let y = self.y.pixel(tick.value);
            self.area.draw(&PathElement::new([(left, y), (right, y)], GRID))?;
            self.area.draw(&Text::new(tick.label, (left - 8, y), anchored(14, HPos::Right, VPos::Center)))?;
        }
        let most = ((right - left) / 48).max(2) as usize;
        for tick in self.x.ticks(most) {
            let x = self.x.pixel(tick.value);
            self.area.draw(&PathElement::new([(x, bottom), (x, bottom + 5)], TEXT))?;
            self.area.draw(&Text::new(tick.label, (x, bottom + 8), anchored(14, HPos::Center, VPos::Top)))?;
        }
        self.area.draw(&PathElement::new([(left, top), (left, bottom), (right, bottom)], TEXT))?;
        let centre = anchored(15, HPos::Center, VPos::Top);
        let middle = ((left + right) / 2, bottom + 28);
        self.area.draw(&Text::new(panel.x.label.as_str(), middle, centre))?;
        let rotated = ("sans-serif", 15).into_font().transform(FontTransform::Rotate270).color(&TEXT);
        let rotated = rotated.pos(Pos::new(HPos::Center, VPos::Top));
        let middle = (left - MARGINS_PX.3 + 6, (top + bottom) / 2);
        self.area.draw(&Text::new(panel.y.label.as_str(), middle, rotated))
    }

    fn draw_mark(&self, mark: &Mark) -> Result<(), DrawError<'a>> {
        match mark {
            Mark::Line { points, colour, width_px } => {
                let style = colour.stroke_width(*width_px);
                self.area.draw(&PathElement::new(self.pixels(points), style))
            }
            Mark::Dots { points, colour } => {
                let style = colour.mix(0.75).filled();
                self.pixels(points).into_iter().try_for_each(|at| self.area.draw(&Circle::new(at, 3, style)))
            }
            Mark::Band { points, colour } => {
                let lower = points.iter().map(|&(x, low, _)| (x, low));
                let upper = points.iter().rev().map(|&(x, _, high)| (x, high));
                let outline: Vec<Point> = lower.chain(upper).collect();
                self.area.draw(&Polygon::new(self.pixels(&outline), colour.mix(LIGHT).filled()))
            }
            Mark::Strip { from, to, colour } => {
                let corners = [
                    (self.x.pixel(*from), self.top),
                    (self.x.pixel(*to).max(self.x.pixel(*from) + 2), self.bottom),
                ];
                self.area.draw(&Rectangle::new(corners, colour.mix(LIGHT).filled()))
            }
            Mark::Rule { x, colour } => {
                let x = self.x.pixel(*x);
                self.area.draw(&PathElement::new([(x, self.top), (x, self.bottom)], colour.stroke_width(2)))
            }
            Mark::Box { from, to, colour } => {
                let corners = [self.pixel(*from), self.pixel(*to)];
                self.area.draw(&Rectangle::new(corners, colour.mix(LIGHT).filled()))?;
                self.area.draw(&Rectangle::new(corners, colour.stroke_width(1)))
            }
            Mark::Label { at, text } => {
                let style = anchored(13, HPos::Center, VPos::Center);
                self.area.draw(&Text::new(text.as_str(), self.pixel(*at), style))
            }
        }
    }

    fn pixels(&self, points: &[Point]) -> Vec<(i32, i32)> {
        let finite = points.iter().filter(|point| point.0.is_finite() && point.1.is_finite());
        finite.map(|&point| self.pixel(point)).collect()
    }

    fn pixel(&self, (x, y): Point) -> (i32, i32) {
        (self.x.pixel(x), self.y.pixel(y))
    }
}

fn anchored(size: u32, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    font(size).pos(Pos::new(horizontal, vertical))
}
