//! Brightness, contrast, saturation and sharpness of RGB bytes, to the byte as torchvision's `v2.functional` computes them for
//! `uint8` tensors.
//!
//! torchvision blends in single precision with fused multiply-adds. A byte times a single-precision factor is exact in double
//! precision, and so is its sum with another such product, so rounding that sum once gives the fused result without the
//! instruction.

use super::point::{replace, table};
use regatta_image::Size;

/// Multiplies by a factor; 1 leaves the image unchanged.
pub(super) fn adjust_brightness(rgb: &mut [u8], factor: f64) {
    let factor = factor as f32;
    replace(rgb, &table(|value| (f32::from(value) * factor) as u8));
}

/// Blends with the mean of the grayscale image; 1 leaves the image unchanged, 0 makes it uniform.
pub(super) fn adjust_contrast(rgb: &mut [u8], factor: f64) {
    let sum: u64 = rgb.chunks_exact(3).map(|pixel| u64::from(luma(pixel))).sum();
    let mean = sum as f32 / (rgb.len() / 3) as f32;
    let (kept, added) = (factor as f32, (1.0 - factor) as f32);
    replace(rgb, &table(|value| mean.mul_add(added, f32::from(value) * kept) as u8));
}

/// Blends with the grayscale image; 1 leaves the image unchanged, 0 makes it gray.
pub(super) fn adjust_saturation(rgb: &mut [u8], factor: f64) {
    let (kept, added) = (factor as f32, (1.0 - factor) as f32);
    for pixel in rgb.chunks_exact_mut(3) {
        let added = f64::from(luma(pixel)) * f64::from(added);
        for value in pixel {
            *value = (f64::from(f32::from(*value) * kept) + added) as f32 as u8;
        }
    }
}

/// Blends with a smoothed image; 1 leaves the image unchanged, 0 makes it smooth, 2 sharp. The outermost pixels stay as they
/// are, and so do images of fewer than 3 rows or columns. `scratch` receives the image before.
pub(super) fn adjust_sharpness(rgb: &mut [u8], size: Size, factor: f64, scratch: &mut Vec<u8>) {
    if size.width <= 2 || size.height <= 2 {
        return;
    }
    scratch.clear();
    scratch.extend_from_slice(rgb);
    let added = f64::from((1.0 - factor) as f32);
    // Indexed by 255 + smoothed - value.
    let added: [f64; 511] = std::array::from_fn(|difference| (difference as f64 - 255.0) * added);
    let row_bytes = 3 * size.width as usize;
    let interior = rgb.chunks_exact_mut(row_bytes).skip(1);
    for (window, row) in scratch.windows(3 * row_bytes).step_by(row_bytes).zip(interior) {
        let row = &mut row[3..row_bytes - 3];
        smooth(window, row_bytes, row);
        let values = &window[row_bytes + 3..];
        for (smoothed, &value) in row.iter_mut().zip(values) {
            let difference = usize::from(*smoothed) + 255 - usize::from(value);
            *smoothed = (f64::from(value) + added[difference]) as f32 as u8;
        }
    }
}

/// Writes the interior of a row convolved with torchvision's 3x3 kernel, 5/13 in the middle and 1/13 around it, rounded.
fn smooth(three_rows: &[u8], row_bytes: usize, smoothed: &mut [u8]) {
    let interior = smoothed.len();
    let [above, middle, below] = [0, 1, 2].map(|row| &three_rows[row * row_bytes..][..row_bytes]);
    let [a0, a1, a2] = [0, 3, 6].map(|shift| &above[shift..][..interior]);
    let [m0, m1, m2] = [0, 3, 6].map(|shift| &middle[shift..][..interior]);
    let [b0, b1, b2] = [0, 3, 6].map(|shift| &below[shift..][..interior]);
    let wide = u16::from;
    for k in 0..interior {
        let columns = wide(a0[k]) + wide(a1[k]) + wide(a2[k]) + wide(b0[k]) + wide(b1[k]) + wide(b2[k]);
        let sum = columns + wide(m0[k]) + 5 * wide(m1[k]) + wide(m2[k]);
        // A thirteenth is never half-way between integers, so this is rounding to the nearest.
        smoothed[k] = ((2 * sum + 13) / 26) as u8;
    }
}

/// Brightness of a pixel as torchvision's `rgb_to_grayscale` computes it, rounded down. It differs for 3 of the 16.7 million
/// colours, all with 250 of red, where single precision falls below an integer: torchvision's is then less by 1.
fn luma(pixel: &[u8]) -> u8 {
    let [red, green, blue] = [0, 1, 2].map(|channel| u32::from(pixel[channel]));
    ((2989 * red + 5870 * green + 1140 * blue) / 10_000) as u8
}
