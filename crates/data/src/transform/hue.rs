//! Turns the hue of RGB bytes, to the byte as torchvision's `adjust_hue` does for `uint8` tensors.

/// Adds `shift`, -0.5 to 0.5 of a full turn, to the hue of each pixel.
pub(super) fn adjust_hue(rgb: &mut [u8], shift: f64) {
    let shift = shift as f32;
    let scaled: [f32; 256] = std::array::from_fn(|value| value as f32 * (1.0_f64 / 255.0) as f32);
    for pixel in rgb.chunks_exact_mut(3) {
        let [hue, saturation, value] = to_hsv([0, 1, 2].map(|channel| scaled[usize::from(pixel[channel])]));
        let shifted = turn(hue + shift);
        let turned = to_rgb([shifted, saturation, value]);
        for (byte, value) in pixel.iter_mut().zip(turned) {
            *byte = (value * 255.999_f32) as u8;
        }
    }
}

/// The remainder by a full turn, as Python's `%` gives it: 0 to 1.
fn turn(hue: f32) -> f32 {
    let remainder = hue - (hue as i32) as f32;
    if remainder < 0.0 { remainder + 1.0 } else { remainder }
}

/// Hue, saturation and value, each 0 to 1 (torchvision's `_rgb_to_hsv`, whose sums of masked terms are one term here).
fn to_hsv([red, green, blue]: [f32; 3]) -> [f32; 3] {
    let highest = red.max(green).max(blue);
    let range = highest - red.min(green).min(blue);
    if range == 0.0 {
        return [0.0, 0.0, highest];
    }
    let [red_below, green_below, blue_below] = [red, green, blue].map(|value| (highest - value) / range);
    let sixths = if highest == red {
        blue_below - green_below
    } else if highest == green {
        red_below + 2.0 - blue_below
    } else {
        green_below + 4.0 - red_below
    };
    let hue = sixths * (1.0_f64 / 6.0) as f32 + 1.0;
    [hue - (hue as i32) as f32, range / highest, highest]
}

/// Red, green and blue, each 0 to 1 (torchvision's `_hsv_to_rgb`).
fn to_rgb([hue, saturation, value]: [f32; 3]) -> [f32; 3] {
    let sixths = hue * 6.0;
    let sector = sixths as i32;
    let fraction = sixths - sector as f32;
    let unsaturated = 1.0 - saturation;
    let product = saturation * fraction;
    let falling = ((1.0 - product) * value).clamp(0.0, 1.0);
    let rising = ((product + unsaturated) * value).clamp(0.0, 1.0);
    let lowest = (unsaturated * value).clamp(0.0, 1.0);
    match sector {
        1 => [falling, value, lowest],
        2 => [lowest, value, rising],
        3 => [lowest, falling, value],
        4 => [rising, lowest, value],
        5 => [value, lowest, falling],
        // A hue that was rounded up to a full turn is in sector 6, which is sector 0.
        _ => [value, rising, lowest],
    }
}
