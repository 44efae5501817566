//! What the device still has to do to each image together with the normalisation. The workers draw it.

use crate::random::Purpose;
use crate::transform::ErasedValue;

/// A rectangle of an image, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rectangle {
    /// First column.
    pub left: u32,
    /// First row.
    pub top: u32,
    /// Number of columns.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

/// Drawn by the worker, applied on the device together with the normalisation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeviceDraw {
    /// Added to each channel of the image on the scale 0 to 1 before normalisation (PCA lighting), in the image's channel order.
    pub lighting: [f32; 3],
    /// Rectangle to erase after normalisation, in pixels of the transform's output; zero width means none.
    pub erased: Rectangle,
    /// Position in the table of standard normal noise where this image's erased pixels begin, below [`NOISE_LEN`].
    pub noise_offset: u32,
}

impl DeviceDraw {
    /// Number of values of [`record`](Self::record).
    pub const VALUES: usize = 8;

    /// Returns the draw as numbers for the device: lighting, left, top, width, height, noise offset. All are exact in fp32.
    pub fn record(&self) -> [f32; Self::VALUES] {
        let Self { lighting: [first, second, third], erased, noise_offset } = *self;
        let Rectangle { left, top, width, height } = erased;
        let [left, top, width, height, noise_offset] =
            [left, top, width, height, noise_offset].map(|value| value as f32);
        [first, second, third, left, top, width, height, noise_offset]
    }
}

/// The operations that a transform leaves to the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceWork {
    /// Whether images have [`DeviceDraw::lighting`].
    pub lighting: bool,
    /// What [`DeviceDraw::erased`] is filled with; none if nothing is erased. With noise, value i of the image, counted through
    /// channels, rows and columns, is number `(noise_offset + i) % NOISE_LEN` of [`noise_table`].
    pub erasing: Option<ErasedValue>,
}

/// Length of the table of noise.
pub const NOISE_LEN: usize = 1 << 20;

/// Returns [`NOISE_LEN`] standard normal numbers, always the same ones (Box and Muller's transform).
pub fn noise_table() -> Vec<f32> {
    let mut random = Purpose::ErasingNoise.stream(&[]);
    let mut table = Vec::with_capacity(NOISE_LEN);
    while table.len() < NOISE_LEN {
        // 1 - u lies in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * libm::log(1.0 - random.unit())).sqrt();
        let (sin, cos) = libm::sincos(std::f64::consts::TAU * random.unit());
        table.extend([(radius * cos) as f32, (radius * sin) as f32]);
    }
    table
}
