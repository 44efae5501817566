//! RandAugment and TrivialAugmentWide: which operation, of which strength.

use regatta_random::SplitMix64;

use super::operation::Operation;
use super::settings::AutoAugment;
use regatta_image::Size;

use AutoAugmentOperation as Name;

/// Number of magnitudes in torchvision's tables, which count from 0.
pub const MAGNITUDES: usize = 31;

/// The operations of torchvision's RandAugment and TrivialAugmentWide, in the order of its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are torchvision's; Operation describes what they do")]
pub enum AutoAugmentOperation {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
}

impl AutoAugmentOperation {
    /// All operations.
    pub const ALL: [Self; 14] = [
        Self::Identity,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Rotate,
        Self::Brightness,
        Self::Color,
        Self::Contrast,
        Self::Sharpness,
        Self::Posterize,
        Self::Solarize,
        Self::AutoContrast,
        Self::Equalize,
    ];
}

impl AutoAugment {
    /// Returns how many operations are applied to each image.
    pub fn operations(self) -> usize {
        match self {
            Self::None => 0,
            Self::RandAugment { operations, .. } => operations,
            Self::TrivialAugmentWide => 1,
        }
    }

    /// Draws an operation for an image of `size`. Each takes three numbers, whatever they decide.
    pub fn draw(self, size: Size, random: &mut SplitMix64) -> Operation {
        let name = Name::ALL[random.below(Name::ALL.len() as u64) as usize];
        let drawn_magnitude = random.below(MAGNITUDES as u64) as usize;
        let negative = random.unit() < 0.5;
        match self {
            Self::None => Operation::Identity,
            Self::RandAugment { magnitude, .. } => self.operation(name, magnitude, negative, size),
            Self::TrivialAugmentWide => self.operation(name, drawn_magnitude, negative, size),
        }
    }

    /// Returns an operation with the strength that the table of RandAugment or TrivialAugmentWide gives to `magnitude`, which is
    /// below [`MAGNITUDES`], for an image of `size`. `negative` counts where the table has signs.
    pub fn operation(
        self,
        name: AutoAugmentOperation,
        magnitude: usize,
        negative: bool,
        size: Size,
    ) -> Operation {
        let wide = self == Self::TrivialAugmentWide;
        let strength = |rand_augment: f64, trivial_augment: f64| {
            let strongest = if wide { trivial_augment } else { rand_augment };
            let strength = evenly_spaced(0.0, strongest, magnitude);
            if negative { -strength } else { strength }
        };
        let pixels = |side: u32| strength(150.0 / 331.0 * f64::from(side), 32.0) as i32;
        let factor = || 1.0 + strength(0.9, 0.99);
        match name {
            Name::Identity => Operation::Identity,
            Name::ShearX => Operation::ShearX(strength(0.3, 0.99)),
            Name::ShearY => Operation::ShearY(strength(0.3, 0.99)),
            Name::TranslateX => Operation::TranslateX(pixels(size.width)),
            Name::TranslateY => Operation::TranslateY(pixels(size.height)),
            Name::Rotate => Operation::Rotate(strength(30.0, 135.0)),
            Name::Brightness => Operation::Brightness(factor()),
            Name::Color => Operation::Saturation(factor()),
            Name::Contrast => Operation::Contrast(factor()),
            Name::Sharpness => Operation::Sharpness(factor()),
            Name::Posterize => Operation::Posterize(posterize_bits(magnitude, if wide { 6.0 } else { 4.0 })),
            Name::Solarize => Operation::Solarize(255.0 * evenly_spaced(1.0, 0.0, magnitude)),
            Name::AutoContrast => Operation::AutoContrast,
            Name::Equalize => Operation::Equalize,
        }
    }
}

/// Entry `index` of `torch.linspace(start, end, 31)`, which counts from the nearer end, in single precision with fused
/// multiply-adds.
fn evenly_spaced(start: f64, end: f64, index: usize) -> f64 {
    let (start, end) = (start as f32, end as f32);
    let step = (end - start) / (MAGNITUDES - 1) as f32;
    let entry = if index < MAGNITUDES / 2 {
        step.mul_add(index as f32, start)
    } else {
        step.mul_add(-((MAGNITUDES - 1 - index) as f32), end)
    };
    f64::from(entry)
}

/// Bits that are kept: 8 at magnitude 0, fewer by `most_removed` at the highest.
fn posterize_bits(magnitude: usize, most_removed: f64) -> u32 {
    let removed = magnitude as f32 / ((MAGNITUDES - 1) as f64 / most_removed) as f32;
    (8.0 - removed).round_ties_even() as u32
}
