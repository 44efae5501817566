//! One operation on the pixels of an image, with its strength.

use super::affine::{self, InverseMatrix};
use super::settings::Interpolation;
use super::{color, hue, point};
use regatta_image::Size;

/// An operation as torchvision's `transforms.v2.functional` does it on `uint8` tensors of three channels. Pixels that come from
/// outside of the image are black.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// Leaves the image unchanged.
    Identity,
    /// Moves rows to the right, in columns per row.
    ShearX(f64),
    /// Moves columns down, in rows per column.
    ShearY(f64),
    /// Moves the image to the right, in pixels.
    TranslateX(i32),
    /// Moves the image down, in pixels.
    TranslateY(i32),
    /// Rotates counter-clockwise around the centre, in degrees.
    Rotate(f64),
    /// Multiplies by a factor of at least 0.
    Brightness(f64),
    /// Blends with the grayscale image by a factor of at least 0: 0 is gray, 1 leaves the image unchanged.
    Saturation(f64),
    /// Blends with the mean of the grayscale image: 0 is uniform, 1 leaves the image unchanged.
    Contrast(f64),
    /// Blends with a smoothed image: 0 is smooth, 1 leaves the image unchanged, 2 is sharp.
    Sharpness(f64),
    /// Turns the hue, -0.5 to 0.5 of a full turn.
    Hue(f64),
    /// Keeps the highest bits of each byte, 0 to 8.
    Posterize(u32),
    /// Inverts the bytes that are at least the threshold, 0 to 255.
    Solarize(f64),
    /// Stretches each channel to 0 to 255.
    AutoContrast,
    /// Equalizes the histogram of each channel.
    Equalize,
    /// Replaces bytes by 255 less their value.
    Invert,
}

impl Operation {
    /// Applies the operation in place. `scratch` is overwritten where the operation needs the image before; it keeps its
    /// capacity from image to image.
    ///
    /// # Panics
    /// If `rgb` does not have three bytes for each pixel of `size`, or there are no pixels.
    pub fn apply(self, rgb: &mut [u8], size: Size, interpolation: Interpolation, scratch: &mut Vec<u8>) {
        let bytes = 3 * size.width as usize * size.height as usize;
        assert!(bytes > 0 && rgb.len() == bytes, "three bytes for each pixel of an image");
        let mut transform =
            |inverse, interpolation| affine::transform(inverse, interpolation, rgb, size, scratch);
        // Whole pixels need no interpolation.
        let whole = Interpolation::Nearest;
        match self {
            Self::Identity => {}
            Self::ShearX(tangent) => transform(InverseMatrix::shear([tangent, 0.0], size), interpolation),
            Self::ShearY(tangent) => transform(InverseMatrix::shear([0.0, tangent], size), interpolation),
            Self::TranslateX(right) => transform(InverseMatrix::translation(right, 0), whole),
            Self::TranslateY(down) => transform(InverseMatrix::translation(0, down), whole),
            Self::Rotate(degrees) => transform(InverseMatrix::rotation(degrees), interpolation),
            Self::Brightness(factor) => color::adjust_brightness(rgb, factor),
            Self::Saturation(factor) => color::adjust_saturation(rgb, factor),
            Self::Contrast(factor) => color::adjust_contrast(rgb, factor),
            Self::Sharpness(factor) => color::adjust_sharpness(rgb, size, factor, scratch),
            Self::Hue(shift) => hue::adjust_hue(rgb, shift),
            Self::Posterize(bits) => point::posterize(rgb, bits),
            Self::Solarize(threshold) => point::solarize(rgb, threshold),
            Self::AutoContrast => point::autocontrast(rgb),
            Self::Equalize => point::equalize(rgb),
            Self::Invert => point::invert(rgb),
        }
    }
}
