//! The look of all charts: colours, fonts, grid, legend above the plots; and [`Figure`], a grid of panels in that look.

use plotters::prelude::*;

mod axis;

mod draw;

mod figure;

mod ticks;

pub use axis::{Axis, Scale};
pub use figure::{Figure, Mark, Panel};
pub use ticks::short;

/// A colour: red, green and blue from 0 to 255.
pub type Colour = RGBColor;

/// A point of a panel in the units of its axes.
pub type Point = (f64, f64);

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
pub(crate) type DrawError<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

/// Blue, the first of the [`PALETTE`].
pub const BLUE: Colour = RGBColor(0, 114, 178);
/// Vermillion, the second of the [`PALETTE`].
pub const VERMILLION: Colour = RGBColor(213, 94, 0);
/// The colour of text and axes.
pub const TEXT: Colour = RGBColor(51, 51, 51);
/// The colour of what is secondary.
pub const GREY: Colour = RGBColor(140, 140, 140);
/// The colour of the grid.
pub const GRID: Colour = RGBColor(222, 222, 222);

/// Okabe and Ito's colours, which colour-blind readers can distinguish, without the yellow, which is hard to see on white.
pub const PALETTE: [Colour; 7] = [
    BLUE,
    VERMILLION,
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// Returns the colour of the series `index`, counted from 0; colours repeat after the last.
pub fn colour(index: usize) -> Colour {
    PALETTE[index % PALETTE.len()]
}

pub(crate) fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&TEXT)
}

/// Returns a generous estimate of the width of a text in pixels at font size 15, since the viewer chooses the font.
pub(crate) fn text_width(text: &str) -> i32 {
    8 * text.chars().count() as i32
}

/// Draws an entry of a legend, a line and its label, with its left end at `x` and its middle at `y`. Returns the left end of the
/// next entry.
pub(crate) fn draw_legend_entry<'a>(
    area: &Area<'a>,
    (x, y): (i32, i32),
    label: &str,
    colour: Colour,
) -> Result<i32, DrawError<'a>> {
    area.draw(&PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(3)))?;
    area.draw(&Text::new(label, (x + 30, y - 7), font(15)))?;
    Ok(legend_end(x, label))
}

/// Returns the left end of the legend's entry after one with its left end at `x`.
pub(crate) fn legend_end(x: i32, label: &str) -> i32 {
    x + 56 + text_width(label)
}
