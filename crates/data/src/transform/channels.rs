//! Number and order of channels.

/// Writes a grayscale image with three equal channels.
///
/// # Panics
/// If `rgb` is not three times as long as `gray`.
pub fn gray_to_rgb(gray: &[u8], rgb: &mut [u8]) {
    assert_eq!(rgb.len(), 3 * gray.len(), "three bytes for each pixel");
    for (pixel, &value) in rgb.chunks_exact_mut(3).zip(gray) {
        pixel.fill(value);
    }
}

/// Exchanges the first and the last of three channels.
pub(super) fn swap_red_and_blue(rgb: &mut [u8]) {
    for pixel in rgb.chunks_exact_mut(3) {
        pixel.swap(0, 2);
    }
}
