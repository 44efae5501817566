//! The RegNet rule that comes nearest to a body's widths (Radosavovic et al. 2020, section 3.3).

use serde::Serialize;

use crate::network::Stage;

/// Number of values of wm on the grid, spaced by their logarithms.
const WMS: usize = 96;
/// Number of values of wa / w0 on the grid, spaced by their logarithms; 0 is tried besides.
const SLOPES: usize = 128;
/// Number of the grid's best points around which the slope is refined and wm computed exactly.
const POLISHED: usize = 64;
/// Number of values of wa / w0 that are tried around each of those.
const FINE: usize = 17;
/// The range of wm that is searched; the spaces draw it from 1.5 to 3.
const WM: (f64, f64) = (1.05, 8.0);
/// The range of wa / w0 that is searched; the spaces draw it from 0.03 to 32.
const SLOPE: (f64, f64) = (1e-3, 64.0);
/// Differences of the mean log-ratio below this are rounding.
const TIE: f64 = 1e-9;

/// The linear parameterisation u_j = w0 + wa j of the widths of blocks j = 0, 1, ..., and its quantisation to w0 wm^k.
///
/// Unlike in a [`crate::Generator`], nothing is rounded to a multiple of 8 or to the group width.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// Width of the first block.
    pub w0: f64,
    /// Slope: channels added per block, at least 0.
    pub wa: f64,
    /// Ratio of the quantised widths of neighbouring stages; without meaning if all blocks are equally wide.
    pub wm: f64,
    /// The paper's e_fit: the mean over the blocks of the absolute logarithm of fitted to actual width.
    pub e_fit: f64,
}

impl Fit {
    /// Returns the fit with the smallest `e_fit`, and among equal ones the one whose line is nearest to the widths. None if there
    /// are no blocks.
    ///
    /// The best w0 for a wm and a wa / w0 is known in closed form, the median, so that a grid over these two is searched.
    pub fn of(stages: &[Stage]) -> Option<Self> {
        let blocks = stages.iter().flat_map(|stage| (0..stage.depth).map(|_| stage.width as f64));
        let log_widths: Vec<f64> = blocks.filter(|width| *width > 0.0).map(libm::log).collect();
        let search = LineSearch { log_widths };
        let mut best = search.candidate(&search.line(0.0), 0.0, 2.0)?;
        let mut coarse: Vec<Candidate> = Vec::new();
        for slope in spaced(SLOPE, SLOPES) {
            let line = search.line(slope);
            coarse.extend(spaced(WM, WMS).filter_map(|wm| search.candidate(&line, slope, wm)));
        }
        coarse.sort_by(|first, second| first.e_fit.total_cmp(&second.e_fit));
        coarse.truncate(POLISHED);
        let slope_step = span(SLOPE) / SLOPES as f64;
        for Candidate { slope, wm, .. } in coarse {
            best = around(slope, slope_step).fold(best, |best, slope| search.polished(slope, wm, best));
        }
        Some(best.fit())
    }

    /// Returns the width w0 + wa j of block `block`, counted from 0.
    pub fn linear(&self, block: usize) -> f64 {
        self.w0 + self.wa * block as f64
    }

    /// Returns the quantised width w0 wm^k of block `block`, k being the nearest integer to that of the linear width.
    pub fn quantised(&self, block: usize) -> f64 {
        let power = libm::log(self.linear(block) / self.w0) / libm::log(self.wm);
        self.w0 * libm::pow(self.wm, power.round_ties_even())
    }
}

/// The search for the fit of widths, of which the logarithms are given.
struct LineSearch {
    log_widths: Vec<f64>,
}

/// A wm and a wa / w0 with the best w0.
#[derive(Clone, Copy)]
struct Candidate {
    /// wa / w0.
    slope: f64,
    wm: f64,
    log_w0: f64,
    e_fit: f64,
    /// Mean absolute logarithm of linear to actual width.
    linear_error: f64,
}

impl LineSearch {
    /// Returns the logarithm of the linear width of each block, relative to w0.
    fn line(&self, slope: f64) -> Vec<f64> {
        (0..self.log_widths.len()).map(|block| libm::log(1.0 + slope * block as f64)).collect()
    }

    fn candidate(&self, line: &[f64], slope: f64, wm: f64) -> Option<Candidate> {
        let log_wm = libm::log(wm);
        let powers = line.iter().map(|it| (it / log_wm).round_ties_even() * log_wm);
        let offsets: Vec<f64> =
            self.log_widths.iter().zip(powers).map(|(width, power)| width - power).collect();
        let log_w0 = lower_median(&offsets)?;
        let e_fit = mean(offsets.iter().map(|offset| (offset - log_w0).abs()));
        let distances = self.log_widths.iter().zip(line).map(|(width, line)| (width - line - log_w0).abs());
        Some(Candidate { slope, wm, log_w0, e_fit, linear_error: mean(distances) })
    }

    /// Returns the better of `best` and the candidates at `slope` with `wm` or an exact wm: absolute deviations are smallest for a
    /// line through two of the points (k, logarithm of the width).
    fn polished(&self, slope: f64, wm: f64, best: Candidate) -> Candidate {
        let (line, log_wm) = (self.line(slope), libm::log(wm));
        let powers = line.iter().map(|it| (it / log_wm).round_ties_even());
        let mut points: Vec<(f64, f64)> = powers.zip(self.log_widths.iter().copied()).collect();
        points.dedup();
        let pairs =
            points.iter().enumerate().flat_map(|(index, a)| points[..index].iter().map(move |b| (a, b)));
        let rising = pairs.filter(|(a, b)| a.0 > b.0 && a.1 > b.1);
        let wms = rising.map(|(a, b)| libm::exp((a.1 - b.1) / (a.0 - b.0)));
        let candidates = wms.chain([wm]).filter_map(|wm| self.candidate(&line, slope, wm));
        candidates.fold(best, |best, next| if next.is_better_than(&best) { next } else { best })
    }
}

impl Candidate {
    fn is_better_than(&self, other: &Self) -> bool {
        let difference = self.e_fit - other.e_fit;
        difference < -TIE || difference <= TIE && self.linear_error < other.linear_error - TIE
    }

    fn fit(&self) -> Fit {
        let w0 = libm::exp(self.log_w0);
        Fit { w0, wa: self.slope * w0, wm: self.wm, e_fit: self.e_fit }
    }
}

fn span((low, high): (f64, f64)) -> f64 {
    libm::log(high / low)
}

/// Returns values from `low` to `high` in equal ratios.
fn spaced((low, high): (f64, f64), count: usize) -> impl Iterator<Item = f64> {
    let step = span((low, high)) / (count - 1) as f64;
    (0..count).map(move |index| low * libm::exp(step * index as f64))
}

/// Returns values in equal ratios, half of them below and half above `centre`, up to a factor of e^`reach`.
fn around(centre: f64, reach: f64) -> impl Iterator<Item = f64> {
    let middle = (FINE / 2) as f64;
    (0..FINE).map(move |index| centre * libm::exp(reach * (index as f64 - middle) / middle))
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Returns the median, for an even number the lower of the two in the middle, which minimises the absolute deviations as well.
fn lower_median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    let middle = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable_by(middle, f64::total_cmp).1)
}
