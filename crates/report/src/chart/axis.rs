//! An axis: its label, its scale and the range of its values.

use std::ops::Range;

use super::ticks::{self, Tick};

/// An axis of a panel.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it shows, with the unit.
    pub label: String,
    /// How values are placed on it.
    pub scale: Scale,
    /// The range of possible values, to which the range shown is clipped.
    pub limits: Range<f64>,
    /// The range shown, if it is not that of the marks.
    pub shown: Option<Range<f64>>,
}

/// How values are placed on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// In proportion.
    Linear,
    /// In proportion, with whole numbers only at the ticks.
    Whole,
    /// By the logarithm; values must be above 0.
    Log,
}

impl Axis {
    /// Returns a linear axis without limits.
    pub fn new(label: impl Into<String>) -> Self {
        let limits = f64::NEG_INFINITY..f64::INFINITY;
        Self { label: label.into(), scale: Scale::Linear, limits, shown: None }
    }

    /// Returns the axis with another scale.
    pub fn scale(self, scale: Scale) -> Self {
        Self { scale, ..self }
    }

    /// Returns the axis clipped to the possible values.
    pub fn limits(self, limits: Range<f64>) -> Self {
        Self { limits, ..self }
    }

    /// Returns the axis with a fixed range.
    pub fn shown(self, range: Range<f64>) -> Self {
        Self { shown: Some(range), ..self }
    }

    /// Returns the axis's scale from the range of `values` to pixels from `start` to `end`.
    pub(super) fn place(&self, values: impl Iterator<Item = f64>, start: i32, end: i32) -> Placed {
        let range = match &self.shown {
            Some(range) => self.position(range.start)..self.position(range.end),
            None => self.range(values),
        };
        Placed { scale: self.scale, range, start, end }
    }

    /// Returns the range of the positions of `values` with a margin on either side, within the limits.
    fn range(&self, values: impl Iterator<Item = f64>) -> Range<f64> {
        let positions = values.map(|value| self.position(value)).filter(|position| position.is_finite());
        let (low, high) =
            positions.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), it| (low.min(it), high.max(it)));
        if low > high {
            return 0.0..1.0;
        }
        let margin = if high > low { 0.06 * (high - low) } else { 0.1 * high.abs().max(0.1) };
        let limit = |end: f64, otherwise: f64| {
            let position = self.position(end);
            if position.is_finite() { position } else { otherwise }
        };
        let start = (low - margin).max(limit(self.limits.start, f64::NEG_INFINITY));
        start..(high + margin).min(limit(self.limits.end, f64::INFINITY))
    }

    fn position(&self, value: f64) -> f64 {
        position(self.scale, value)
    }
}

/// An axis with its range of values and of pixels.
pub(super) struct Placed {
    scale: Scale,
    /// Values, or their decimal logarithms.
    range: Range<f64>,
    start: i32,
    end: i32,
}

impl Placed {
    /// Returns the pixel of a value.
    pub(super) fn pixel(&self, value: f64) -> i32 {
        let share = (position(self.scale, value) - self.range.start) / (self.range.end - self.range.start);
        let share = if share.is_finite() { share.clamp(-1.0, 2.0) } else { 0.0 };
        self.start + (share * f64::from(self.end - self.start)).round_ties_even() as i32
    }

    /// Returns the ticks, at most about `most`.
    pub(super) fn ticks(&self, most: usize) -> Vec<Tick> {
        match self.scale {
            Scale::Linear => ticks::linear(self.range.clone(), most),
            Scale::Whole => ticks::whole(self.range.clone(), most),
            Scale::Log => ticks::log(self.range.clone(), most),
        }
    }
}

fn position(scale: Scale, value: f64) -> f64 {
    if scale == Scale::Log { value.log10() } else { value }
}
