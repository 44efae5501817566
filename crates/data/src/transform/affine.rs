//! Shears, translations and rotations on bytes.

use super::settings::Interpolation;
use regatta_image::Size;

/// Maps positions of the output to positions of the input, both in pixels from the image's centre:
/// `x_in = m[0] * x + m[1] * y + m[2]` and `y_in = m[3] * x + m[4] * y + m[5]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct InverseMatrix([f64; 6]);

impl InverseMatrix {
    /// Moves the image to the right and down by whole pixels.
    pub(super) fn translation(right: i32, down: i32) -> Self {
        Self([1.0, 0.0, f64::from(-right), 0.0, 1.0, f64::from(-down)])
    }

    /// Shears by the tangents `[x, y]` around the image's upper left corner (torchvision's `_get_inverse_affine_matrix`).
    pub(super) fn shear(tangents: [f64; 2], size: Size) -> Self {
        let [shear_x, shear_y] = tangents.map(|tangent| to_radians(to_degrees(libm::atan(tangent))));
        let (tan_x, tan_y) = (libm::tan(shear_x), libm::sin(shear_y) / libm::cos(shear_y));
        let (centre_x, centre_y) = (-0.5 * f64::from(size.width), -0.5 * f64::from(size.height));
        let stretch = 1.0 + tan_y * tan_x;
        Self([
            stretch,
            tan_x,
            centre_x - stretch * centre_x - tan_x * centre_y,
            tan_y,
            1.0,
            centre_y - tan_y * centre_x - centre_y,
        ])
    }

    /// Rotates counter-clockwise around the centre.
    pub(super) fn rotation(degrees: f64) -> Self {
        let angle = to_radians(-degrees.rem_euclid(360.0));
        let (cos, sin) = (libm::cos(angle), libm::sin(angle));
        Self([cos, sin, 0.0, -sin, cos, 0.0])
    }
}

/// Degrees as Python's `math.degrees` gives them.
fn to_degrees(radians: f64) -> f64 {
    radians * (180.0 / std::f64::consts::PI)
}

/// Radians as Python's `math.radians` gives them.
fn to_radians(degrees: f64) -> f64 {
    degrees * (std::f64::consts::PI / 180.0)
}

/// Pixels as fixed-point numbers with this many binary digits after the point. Every position is then exact to 2^-33 pixels for
/// each column, and equal on all machines.
const FRACTION_BITS: u32 = 32;
const ONE: i64 = 1 << FRACTION_BITS;

/// Replaces the image by its transformed copy, with black outside of the image. `scratch` receives the image before.
///
/// torchvision computes positions in single precision, in an order that depends on its matrix library. Bilinear results
/// therefore differ from it by at most 1 in a few bytes, and the nearest pixel may be the neighbour where a position lies
/// half-way between two.
pub(super) fn transform(
    inverse: InverseMatrix,
    interpolation: Interpolation,
    rgb: &mut [u8],
    size: Size,
    scratch: &mut Vec<u8>,
) {
    pad(rgb, size, scratch);
    // torchvision's matrix is in single precision.
    let m = inverse.0.map(|coefficient| f64::from(coefficient as f32));
    let centre = [size.width, size.height].map(|side| 0.5 * (f64::from(side) - 1.0));
    let step = [fixed(m[0]), fixed(m[3])];
    for (y, row) in rgb.chunks_exact_mut(3 * size.width as usize).enumerate() {
        let y = y as f64 - centre[1];
        let start = [
            fixed(m[2] + centre[0] - m[0] * centre[0] + m[1] * y),
            fixed(m[5] + centre[1] - m[3] * centre[0] + m[4] * y),
        ];
        let line = Line { start, step };
        match interpolation {
            Interpolation::Bilinear => line.read_bilinear(scratch, size, row),
            Interpolation::Nearest => line.read_nearest(scratch, size, row),
        }
    }
}

fn fixed(pixels: f64) -> i64 {
    (pixels * ONE as f64).round_ties_even() as i64
}

/// Copies the image into `padded` with a black border of one pixel, so that pixels outside need no test.
fn pad(rgb: &[u8], size: Size, padded: &mut Vec<u8>) {
    let row_bytes = 3 * size.width as usize;
    let padded_row_bytes = row_bytes + 6;
    padded.clear();
    padded.reserve((size.height as usize + 2) * padded_row_bytes);
    padded.resize(padded_row_bytes + 3, 0);
    for row in rgb.chunks_exact(row_bytes) {
        padded.extend_from_slice(row);
        padded.extend_from_slice(&[0; 6]);
    }
    padded.resize((size.height as usize + 2) * padded_row_bytes, 0);
}

/// The positions in the input, `[x, y]`, of the pixels of one row of the output.
#[derive(Clone, Copy)]
struct Line {
    start: [i64; 2],
    step: [i64; 2],
}

impl Line {
    /// Fills the row with means of four neighbours.
    fn read_bilinear(self, padded: &[u8], size: Size, row: &mut [u8]) {
        let stride = 3 * (size.width as usize + 2);
        let mut place = self.fill_outside(row, [-ONE, -ONE], size);
        for pixel in place.row.chunks_exact_mut(3) {
            let [x, y] = place.next;
            let upper_left =
                ((y >> FRACTION_BITS) + 1) as usize * stride + 3 * ((x >> FRACTION_BITS) + 1) as usize;
            let (east, south) = (fraction(x), fraction(y));
            let (west, north) = (1.0 - east, 1.0 - south);
            let weights = [north * west, north * east, south * west, south * east];
            let upper = &padded[upper_left..][..6];
            let lower = &padded[upper_left + stride..][..6];
            for channel in 0..3 {
                let corners = [upper[channel], upper[channel + 3], lower[channel], lower[channel + 3]];
                pixel[channel] = weighted_mean(corners, weights);
            }
            place.next = [x + self.step[0], y + self.step[1]];
        }
    }

    /// Fills the row with the nearest pixels.
    fn read_nearest(self, padded: &[u8], size: Size, row: &mut [u8]) {
        let stride = 3 * (size.width as usize + 2);
        let half = ONE / 2;
        let shifted = Self { start: self.start.map(|position| position + half), step: self.step };
        let mut place = shifted.fill_outside(row, [0, 0], size);
        for pixel in place.row.chunks_exact_mut(3) {
            let [x, y] = place.next;
            let nearest =
                ((y >> FRACTION_BITS) + 1) as usize * stride + 3 * ((x >> FRACTION_BITS) + 1) as usize;
            pixel.copy_from_slice(&padded[nearest..][..3]);
            place.next = [x + self.step[0], y + self.step[1]];
        }
    }

    /// Makes the pixels black whose positions are below `lowest` or at or beyond the image's far edge, and returns the others.
    fn fill_outside(self, row: &mut [u8], lowest: [i64; 2], size: Size) -> Place<'_> {
        let columns = row.len() as i64 / 3;
        let highest = [i64::from(size.width) << FRACTION_BITS, i64::from(size.height) << FRACTION_BITS];
        let [(x_first, x_end), (y_first, y_end)] = [0, 1]
            .map(|axis| inside(self.start[axis], self.step[axis], lowest[axis], highest[axis], columns));
        let first = x_first.max(y_first);
        let end = x_end.min(y_end).max(first);
        row[..3 * first as usize].fill(0);
        row[3 * end as usize..].fill(0);
        let next = [0, 1].map(|axis| self.start[axis] + first * self.step[axis]);
        Place { row: &mut row[3 * first as usize..3 * end as usize], next }
    }
}

/// The pixels of a row that lie inside of the input, and the position of the next one.
struct Place<'a> {
    row: &'a mut [u8],
    next: [i64; 2],
}

/// Returns the range of columns, from 0 to `columns`, whose position `start + column * step` lies in `lowest..end`.
fn inside(start: i64, step: i64, lowest: i64, end: i64, columns: i64) -> (i64, i64) {
    if step < 0 {
        return inside(-start, -step, 1 - end, 1 - lowest, columns);
    }
    if step == 0 {
        return if (lowest..end).contains(&start) { (0, columns) } else { (0, 0) };
    }
    let first_at_least = |bound: i64| -(start - bound).div_euclid(step);
    (first_at_least(lowest).clamp(0, columns), first_at_least(end).clamp(0, columns))
}

/// The part of a position after the point, 0 to 1.
fn fraction(position: i64) -> f32 {
    ((position as u32) >> 8) as f32 * (1.0 / 16_777_216.0)
}

fn weighted_mean(corners: [u8; 4], weights: [f32; 4]) -> u8 {
    let mean = f32::from(corners[0]) * weights[0]
        + f32::from(corners[1]) * weights[1]
        + f32::from(corners[2]) * weights[2]
        + f32::from(corners[3]) * weights[3];
    // Adding 2^23 rounds to an integer, ties to even, which then stands in the lowest bits.
    (mean + 8_388_608.0).to_bits() as u8
}
