//! Turns the hue of RGB bytes, to the byte as torchvision's `adjust_hue` does for `uint8` tensors.

/// Adds `shift`, -0.5 to 0.5 of a full turn, to the hue of each pixel.
pub(super) fn adjust_hue(rgb: &mut [u8], shift: f64) {
    let shift = shift as f32;
    let scaled: [f32; 256] = std::array::from_fn(|value| value as f32 * (1.0_f64 / 255.0) as f32);
    for block in rgb.chunks_mut(3 * BLOCK) {
        let mut planes = [[0.0_f32; BLOCK]; 3];
        for (place, pixel) in block.chunks_exact(3).enumerate() {
            for channel in 0..3 {
                planes[channel][place] = scaled[usize::from(pixel[channel])];
            }
        }
        turn_hues(&mut planes, shift);
        for (place, pixel) in block.chunks_exact_mut(3).enumerate() {
            for channel in 0..3 {
                pixel[channel] = planes[channel][place] as u8;
            }
        }
    }
}

/// Pixels at a time.
const BLOCK: usize = 64;

/// Turns the hue of pixels whose channels are 0 to 1, and makes the channels integers of 0 to 255. It has no branches and no
/// casts, so that the compiler makes vector instructions of it.
fn turn_hues(planes: &mut [[f32; BLOCK]; 3], shift: f32) {
    let [reds, greens, blues] = planes;
    for k in 0..BLOCK {
        let [hue, saturation, value] = to_hsv([reds[k], greens[k], blues[k]]);
        let turned = to_rgb([turn(hue + shift), saturation, value]);
        reds[k] = truncated(turned[0] * 255.999);
        greens[k] = truncated(turned[1] * 255.999);
        blues[k] = truncated(turned[2] * 255.999);
    }
}

/// The remainder by a full turn, as Python's `%` gives it: 0 to 1.
fn turn(hue: f32) -> f32 {
    let hue = if hue < 0.0 { hue + 1.0 } else { hue };
    hue - truncated(hue)
}

/// Rounds a number of 0 to 2^22 down: adding 2^23 rounds to the nearest integer.
fn truncated(number: f32) -> f32 {
    let rounded = number + 8_388_608.0 - 8_388_608.0;
    if rounded > number { rounded - 1.0 } else { rounded }
}

/// Hue, saturation and value, each 0 to 1 (torchvision's `_rgb_to_hsv`, whose sums of masked terms are one term here).
fn to_hsv([red, green, blue]: [f32; 3]) -> [f32; 3] {
    let highest = red.max(green).max(blue);
    let range = highest - red.min(green).min(blue);
    let gray = range == 0.0;
    let divisor = if gray { 1.0 } else { range };
    let below = |value: f32| (highest - value) / divisor;
    let (red_below, green_below, blue_below) = (below(red), below(green), below(blue));
    let from_red = blue_below - green_below;
    let from_green = red_below + 2.0 - blue_below;
    let from_blue = green_below + 4.0 - red_below;
    let sixths = if highest == green { from_green } else { from_blue };
    let sixths = if highest == red { from_red } else { sixths };
    let hue = sixths * (1.0_f64 / 6.0) as f32 + 1.0;
    let saturation = range / if gray { 1.0 } else { highest };
    [hue - truncated(hue), saturation, highest]
}

/// Red, green and blue, each 0 to 1 (torchvision's `_hsv_to_rgb`).
fn to_rgb([hue, saturation, value]: [f32; 3]) -> [f32; 3] {
    let sixths = hue * 6.0;
    // A hue that was rounded up to a full turn is in sector 6, which is sector 0.
    let sector = truncated(sixths);
    let fraction = sixths - sector;
    let sector = if sector == 6.0 { 0.0 } else { sector };
    let unsaturated = 1.0 - saturation;
    let product = saturation * fraction;
    let to_one = |value: f32| value.clamp(0.0, 1.0);
    let falling = to_one((1.0 - product) * value);
    let rising = to_one((product + unsaturated) * value);
    let lowest = to_one(unsaturated * value);
    // Each channel is highest for two sectors, falls, is lowest for two, and rises. A sum of terms of which one is not 0 becomes
    // vector instructions; nested conditions do not.
    let channel = |first: f32| {
        let since = sector - first;
        let since = if since < 0.0 { since + 6.0 } else { since };
        let only = |condition: bool, term: f32| if condition { term } else { 0.0 };
        only(since < 2.0, value)
            + only(since == 2.0, falling)
            + only(since == 5.0, rising)
            + only(since == 3.0, lowest)
            + only(since == 4.0, lowest)
    };
    [channel(5.0), channel(1.0), channel(3.0)]
}
