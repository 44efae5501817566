//! A figure as data: panels in a grid, each with marks.

use super::{Axis, Colour, Point};

/// A picture with a title, a legend and panels in rows.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What it shows.
    pub title: String,
    /// Name and colour of each series.
    pub legend: Vec<(String, Colour)>,
    /// The panels, row by row.
    pub panels: Vec<Panel>,
    /// Number of panels in a row.
    pub columns: usize,
    /// Width and height of a panel, with its axes and its title.
    pub panel_px: (u32, u32),
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What it shows.
    pub title: String,
    /// The horizontal axis; without one, the vertical one is not drawn either.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// Whether axes and grid are drawn.
    pub axes: bool,
    /// What is drawn, from back to front.
    pub marks: Vec<Mark>,
}

/// Something drawn in a panel, in the units of its axes. What is not a finite number is left out.
#[derive(Clone, Debug)]
pub enum Mark {
    /// A line through points.
    Line {
        /// The points.
        points: Vec<Point>,
        /// Its colour.
        colour: Colour,
        /// Its width in pixels.
        width_px: u32,
    },
    /// A dot at each point.
    Dots {
        /// The points.
        points: Vec<Point>,
        /// Their colour.
        colour: Colour,
    },
    /// A light area between two curves.
    Band {
        /// The x, and the y of the lower and the upper end.
        points: Vec<(f64, f64, f64)>,
        /// Its colour before it is lightened.
        colour: Colour,
    },
    /// A light vertical strip over the whole height.
    Strip {
        /// Left end.
        from: f64,
        /// Right end.
        to: f64,
        /// Its colour before it is lightened.
        colour: Colour,
    },
    /// A dark vertical line over the whole height.
    Rule {
        /// Where it is.
        x: f64,
        /// Its colour.
        colour: Colour,
    },
    /// A light box with a text in its middle.
    Box {
        /// Its lower left corner.
        from: Point,
        /// Its upper right corner.
        to: Point,
        /// Its colour before it is lightened.
        colour: Colour,
    },
    /// A text with its middle at a point.
    Label {
        /// The point.
        at: Point,
        /// The text.
        text: String,
    },
}

impl Figure {
    /// Returns a figure without panels, with the look's usual size for a single one.
    pub fn new(title: impl Into<String>) -> Self {
        let (panels, legend) = (Vec::new(), Vec::new());
        Self { title: title.into(), legend, panels, columns: 1, panel_px: (860, 460) }
    }

    /// Returns the picture as SVG. The same figure gives the same bytes.
    pub fn svg(&self) -> String {
        super::draw::svg(self)
    }
}

impl Panel {
    /// Returns a plot without marks.
    pub fn new(title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self { title: title.into(), x, y, axes: true, marks: Vec::new() }
    }
}

impl Mark {
    /// Returns the x and the y of everything that the axes must include.
    pub(super) fn extent(&self) -> (Vec<f64>, Vec<f64>) {
        match self {
            Self::Line { points, .. } | Self::Dots { points, .. } => points.iter().copied().unzip(),
            Self::Band { points, .. } => (
                points.iter().map(|point| point.0).collect(),
                points.iter().flat_map(|point| [point.1, point.2]).collect(),
            ),
            Self::Strip { from, to, .. } => (vec![*from, *to], Vec::new()),
            Self::Rule { x, .. } => (vec![*x], Vec::new()),
            Self::Box { from, to, .. } => (vec![from.0, to.0], vec![from.1, to.1]),
            Self::Label { at, .. } => (vec![at.0], vec![at.1]),
        }
    }
}
