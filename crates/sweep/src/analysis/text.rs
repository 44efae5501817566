//! How numbers are written.

use regatta_report::chart::{Axis, Scale};
use regatta_report::page::Cell;

/// Returns a fraction in percent: `12.34 %`.
pub(super) fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

/// Returns a cell with a fraction in percent, or a dash.
pub(super) fn percent_cell(fraction: Option<f64>) -> Cell {
    fraction.map_or_else(|| "–".into(), percent).into()
}

/// Returns `1 network`, `3 networks`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Returns the words as a list in a sentence: `a, b and c`.
pub(super) fn enumeration(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}

/// Returns the axis of errors in percent: by the logarithm if the largest is several times the smallest, which networks that
/// diverged make it.
pub(super) fn error_axis(label: &str, errors: impl Iterator<Item = f64>) -> Axis {
    let positive = errors.filter(|error| *error > 0.0);
    let (low, high) =
        positive.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), it| (low.min(it), high.max(it)));
    let scale = if high > 4.0 * low { Scale::Log } else { Scale::Linear };
    Axis::new(label).scale(scale).limits(0.0..100.0)
}

/// Returns a difference of fractions in percentage points.
pub(super) fn points(difference: f64) -> String {
    format!("{:.2}", 100.0 * difference)
}
