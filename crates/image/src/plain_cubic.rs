//! PyTorch's bicubic resizing of bytes without antialiasing: four pixels in each direction, the outer pixels repeated.

use crate::region::Size;
use crate::resize::Span;

/// Four pixels of a row or column, and their weights in units of 2^-precision.
struct Taps {
    indices: [usize; 4],
    weights: [i32; 4],
}

/// The taps of all pixels of a row or column, with PyTorch's 16-bit weights.
struct Kernel {
    taps: Vec<Taps>,
    precision: u32,
}

/// Resizes a span of each row to `to_width` pixels.
pub(crate) fn horizontal(
    source: &[u8],
    from: Size,
    columns: Span,
    target: &mut [u8],
    to_width: u32,
    channels: usize,
) {
    let kernel = Kernel::new(from.width, columns, to_width);
    match channels {
        1 => rows_of::<1>(&kernel, source, from.width, target, to_width),
        _ => rows_of::<3>(&kernel, source, from.width, target, to_width),
    }
}

/// Resizes a span of each column to `to_height` pixels.
pub(crate) fn vertical(
    source: &[u8],
    from: Size,
    rows: Span,
    target: &mut [u8],
    to_height: u32,
    channels: usize,
) {
    let kernel = Kernel::new(from.height, rows, to_height);
    columns_of(&kernel, source, target, from.width as usize * channels);
}

fn rows_of<const CHANNELS: usize>(
    kernel: &Kernel,
    source: &[u8],
    from_width: u32,
    target: &mut [u8],
    to_width: u32,
) {
    let rows = source.chunks_exact(from_width as usize * CHANNELS);
    for (row, target) in rows.zip(target.chunks_exact_mut(to_width as usize * CHANNELS)) {
        let (pixels, _) = row.as_chunks::<CHANNELS>();
        let (targets, _) = target.as_chunks_mut::<CHANNELS>();
        for (taps, target) in kernel.taps.iter().zip(targets) {
            let around = taps.indices.map(|index| pixels[index]);
            for (channel, value) in target.iter_mut().enumerate() {
                *value = kernel.value(taps, around.map(|pixel| pixel[channel]));
            }
        }
    }
}

fn columns_of(kernel: &Kernel, source: &[u8], target: &mut [u8], row_bytes: usize) {
    for (taps, target) in kernel.taps.iter().zip(target.chunks_exact_mut(row_bytes)) {
        let [a, b, c, d] = taps.indices.map(|index| &source[index * row_bytes..][..row_bytes]);
        for (x, value) in target.iter_mut().enumerate() {
            *value = kernel.value(taps, [a[x], b[x], c[x], d[x]]);
        }
    }
}

impl Kernel {
    /// Returns the taps of `to` pixels over a span of `from` pixels.
    fn new(from: u32, Span { first, length }: Span, to: u32) -> Self {
        let scale = length / f64::from(to);
        let mut largest = 0.0;
        let taps: Vec<_> = (0..to)
            .map(|index| weights(first + scale * (f64::from(index) + 0.5) - 0.5, from, &mut largest))
            .collect();
        let fits = |precision: &u32| (0.5 + largest * f64::from(2 << precision)) < 32768.0;
        let precision = (0..22).find(|precision| !fits(precision)).unwrap_or(21);
        let scaled = |weight: f64| (weight * f64::from(1 << precision) + 0.5_f64.copysign(weight)) as i32;
        let taps = taps.into_iter().map(|(indices, weights)| Taps { indices, weights: weights.map(scaled) });
        Self { taps: taps.collect(), precision }
    }

    fn value(&self, taps: &Taps, pixels: [u8; 4]) -> u8 {
        let products = taps.weights.iter().zip(pixels).map(|(weight, pixel)| weight * i32::from(pixel));
        let sum = (1 << (self.precision - 1)) + products.sum::<i32>();
        (sum >> self.precision).clamp(0, 255) as u8
    }
}

/// The four pixels around a position and their weights. A pixel that stands for several has the sum of their weights. `largest`
/// becomes the largest sum on the way, which is what PyTorch derives the precision from.
fn weights(position: f64, length: u32, largest: &mut f64) -> ([usize; 4], [f64; 4]) {
    let first = position.floor() as i64 - 1;
    let indices: [usize; 4] =
        std::array::from_fn(|tap| (first + tap as i64).clamp(0, i64::from(length) - 1) as usize);
    let mut weights = [0.0; 4];
    for tap in 0..4 {
        let representative = indices.iter().position(|index| *index == indices[tap]).unwrap_or(tap);
        weights[representative] += cubic(position - (first + tap as i64) as f64);
        *largest = largest.max(weights[representative]);
    }
    (indices, weights)
}

/// Keys' cubic convolution kernel (1981) with a = -0.75.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.75;
    match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}
