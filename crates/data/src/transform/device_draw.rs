//! Draws what the device still does to an image, together with its normalisation: PCA lighting and random erasing.

use regatta_random::SplitMix64;

use regatta_image::Size;

use super::geometry::{below, uniform};
use super::settings::{ChannelOrder, ErasedValue, TransformSettings};
use crate::device_draw::{DeviceDraw, NOISE_LEN, Rectangle};
use crate::random::Purpose;

impl TransformSettings {
    /// Draws what the device does to image `index` in `epoch`, whose output has `size`.
    pub fn draw_for_device(&self, (epoch, index): (u64, usize), size: Size) -> DeviceDraw {
        let key = [self.seed, epoch, index as u64];
        let mut draw = DeviceDraw::default();
        if self.pca_lighting_std > 0.0 {
            let alphas = normal_draws(&mut Purpose::Lighting.stream(&key));
            let alphas = alphas.map(|alpha| alpha * self.pca_lighting_std);
            draw.lighting = lighting(alphas, self.channel_order);
        }
        let mut random = Purpose::Erasing.stream(&key);
        if random.unit() < self.random_erasing.probability {
            let noise_offset = below(&mut random, NOISE_LEN as u32);
            draw.erased = draw_erased(size, &mut random).unwrap_or_default();
            if self.random_erasing.value == ErasedValue::Noise && draw.erased.width > 0 {
                draw.noise_offset = noise_offset;
            }
        }
        draw
    }
}

/// Standard deviations of ImageNet's colours along their principal components, and the components, one column each. The rows are
/// red, green and blue. From Krizhevsky and others (2012), as printed in fb.resnet.torch and pycls, which reads images as BGR
/// and therefore adds row `2 - channel`.
const EIGENVALUES: [f64; 3] = [0.2175, 0.0188, 0.0045];
const EIGENVECTORS: [[f64; 3]; 3] =
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]];

/// Returns what PCA lighting adds to each channel on the scale 0 to 1, given a factor for each principal component.
pub fn lighting(alphas: [f64; 3], order: ChannelOrder) -> [f32; 3] {
    let mut channels = EIGENVECTORS.map(|row| {
        let terms = [0, 1, 2].map(|component| row[component] * alphas[component] * EIGENVALUES[component]);
        (terms[0] + terms[1] + terms[2]) as f32
    });
    if order == ChannelOrder::Bgr {
        channels.reverse();
    }
    channels
}

/// Three standard normal numbers by Box and Muller's transform: from `u` in (0, 1] and `v` in [0, 1), `sqrt(-2 ln u)` times the
/// cosine and the sine of `2 pi v`. Always takes four numbers from the stream.
fn normal_draws(random: &mut SplitMix64) -> [f64; 3] {
    let mut pair = || {
        let radius = (-2.0 * libm::log(1.0 - random.unit())).sqrt();
        let angle = 2.0 * std::f64::consts::PI * random.unit();
        (radius * libm::cos(angle), radius * libm::sin(angle))
    };
    let ((first, second), (third, _)) = (pair(), pair());
    [first, second, third]
}

/// Draws the rectangle to erase, 0.02 to 0.33 of the image's area and with a ratio of height to width of 0.3 to 3.3, uniform in
/// its logarithm. This is torchvision's `RandomErasing.make_params`: nothing if ten attempts did not fit inside of the image.
pub fn draw_erased(size: Size, random: &mut SplitMix64) -> Option<Rectangle> {
    let area = f64::from(size.width) * f64::from(size.height);
    for _ in 0..10 {
        let erased_area = area * uniform(random, [0.02, 0.33]);
        let aspect_ratio = libm::exp(uniform(random, [0.3, 3.3].map(libm::log)));
        let height = (erased_area * aspect_ratio).sqrt().round_ties_even() as u32;
        let width = (erased_area / aspect_ratio).sqrt().round_ties_even() as u32;
        if height < size.height && width < size.width {
            let top = below(random, size.height - height + 1);
            let left = below(random, size.width - width + 1);
            return Some(Rectangle { left, top, width, height }).filter(|_| width > 0 && height > 0);
        }
    }
    None
}
