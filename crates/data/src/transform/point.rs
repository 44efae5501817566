//! Operations that replace each byte by another, the same wherever it stands, on RGB bytes.

/// What replaces each of the 256 values.
pub(super) type Table = [u8; 256];

/// Returns the table of a function.
pub(super) fn table(replacement: impl Fn(u8) -> u8) -> Table {
    std::array::from_fn(|value| replacement(value as u8))
}

/// Replaces all bytes by the same table.
pub(super) fn replace(bytes: &mut [u8], table: &Table) {
    for byte in bytes {
        *byte = table[usize::from(*byte)];
    }
}

/// Replaces the bytes of each channel by its own table.
fn replace_channels(rgb: &mut [u8], [red, green, blue]: &[Table; 3]) {
    for pixel in rgb.chunks_exact_mut(3) {
        pixel[0] = red[usize::from(pixel[0])];
        pixel[1] = green[usize::from(pixel[1])];
        pixel[2] = blue[usize::from(pixel[2])];
    }
}

/// Keeps the `bits` highest bits.
pub(super) fn posterize(rgb: &mut [u8], bits: u32) {
    let mask = !(0xff_u32 >> bits) as u8;
    for byte in rgb {
        *byte &= mask;
    }
}

/// Inverts the bytes that are at least the threshold.
pub(super) fn solarize(rgb: &mut [u8], threshold: f64) {
    let threshold = threshold as f32;
    replace(rgb, &table(|value| if f32::from(value) >= threshold { !value } else { value }));
}

/// Replaces bytes by 255 less their value.
pub(super) fn invert(rgb: &mut [u8]) {
    for byte in rgb {
        *byte = !*byte;
    }
}

/// Stretches each channel from its smallest and largest value to 0 and 255.
pub(super) fn autocontrast(rgb: &mut [u8]) {
    let (mut lowest, mut highest) = ([255; 3], [0; 3]);
    for pixel in rgb.chunks_exact(3) {
        for channel in 0..3 {
            lowest[channel] = pixel[channel].min(lowest[channel]);
            highest[channel] = pixel[channel].max(highest[channel]);
        }
    }
    let tables = [0, 1, 2].map(|channel| stretched(lowest[channel], highest[channel]));
    replace_channels(rgb, &tables);
}

/// The table of one channel for [`autocontrast`], in torchvision's single precision.
fn stretched(lowest: u8, highest: u8) -> Table {
    if lowest >= highest {
        return table(|value| value);
    }
    let inverse_scale = f32::from(highest - lowest) * (1.0_f64 / 255.0) as f32;
    table(|value| ((f32::from(value) - f32::from(lowest)) / inverse_scale) as u8)
}

/// Makes the histogram of each channel as flat as replacing values can (the rule of PIL's `ImageOps.equalize`).
pub(super) fn equalize(rgb: &mut [u8]) {
    let mut histograms = [[0_u32; 256]; 3];
    for pixel in rgb.chunks_exact(3) {
        for (histogram, &value) in histograms.iter_mut().zip(pixel) {
            histogram[usize::from(value)] += 1;
        }
    }
    let tables = histograms.each_ref().map(equalized);
    replace_channels(rgb, &tables);
}

/// The table of one channel for [`equalize`].
fn equalized(histogram: &[u32; 256]) -> Table {
    let pixels: u32 = histogram.iter().sum();
    let of_highest_value = histogram.iter().rev().find(|&&count| count > 0).unwrap_or(&0);
    let step = (pixels - of_highest_value) / 255;
    if step == 0 {
        return table(|value| value);
    }
    let mut below = 0;
    std::array::from_fn(|value| {
        let replacement = if value == 0 { 0 } else { ((below + step / 2) / step).min(255) };
        below += histogram[value];
        replacement as u8
    })
}
