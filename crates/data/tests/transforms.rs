//! Transforms are functions of (seed, epoch, image index), independent of each other, in torchvision's order, and stay in bounds.

mod draws;

use expect_test::expect;
use proptest::prelude::*;
use regatta_data::{
    AutoAugment, AutoAugmentOperation, ChannelOrder, ColorJitter, DeviceDraw, ErasedValue, Evaluation,
    ImageShape, Interpolation, Operation, RandomErasing, RandomResizedCrop, Region, Size, TransformSettings,
    gray_to_rgb, random_resized_crop,
};
use regatta_random::SplitMix64;

const SHAPE: ImageShape = ImageShape { channels: 3, height: 12, width: 10 };
const SIZE: Size = Size { width: 10, height: 12 };

const RAND_AUGMENT: AutoAugment = AutoAugment::RandAugment { operations: 2, magnitude: 9 };
const JITTER: ColorJitter = ColorJitter { brightness: 0.4, contrast: 0.3, saturation: 0.2, hue: 0.1 };
const ERASING: RandomErasing = RandomErasing { probability: 0.5, value: ErasedValue::Noise };

/// Everything that pycls and torchvision draw, together.
fn everything(seed: u64) -> TransformSettings {
    TransformSettings {
        seed,
        random_resized_crop: Some(RandomResizedCrop::default()),
        horizontal_flip_probability: 0.5,
        random_crop_padding_px: 2,
        auto_augment: RAND_AUGMENT,
        color_jitter: JITTER,
        pca_lighting_std: 0.1,
        random_erasing: ERASING,
        channel_order: ChannelOrder::Bgr,
        ..TransformSettings::default()
    }
}

fn noise(seed: u64) -> Vec<u8> {
    let mut pixels = vec![0; SHAPE.bytes()];
    SplitMix64::new(seed).fill(&mut pixels);
    pixels
}

/// Augments `pixels` in place with a scratch buffer that held something else.
fn augment(settings: &TransformSettings, key: (u64, usize), pixels: &mut [u8]) -> DeviceDraw {
    settings.augment(key, SHAPE, pixels, &mut vec![7; 3])
}

#[test]
fn without_settings_nothing_happens() {
    let mut pixels = noise(1);
    assert_eq!(augment(&TransformSettings::default(), (0, 0), &mut pixels), DeviceDraw::default());
    assert_eq!(pixels, noise(1));
    let whole = Region { left: 0, top: 0, width: 10, height: 12 };
    assert_eq!(TransformSettings::default().training_region((0, 0), SIZE), whole);
}

#[test]
fn augmented_pixels_never_change() {
    let mut pixels = noise(1);
    augment(&everything(5), (3, 4), &mut pixels);
    expect!["[188, 15, 101, 129, 34, 177, 106, 237, 9, 47, 124, 155]"]
        .assert_eq(&format!("{:?}", &pixels[180..192]));
}

#[test]
fn grayscale_has_three_equal_channels() {
    let mut rgb = [9; 6];
    gray_to_rgb(&[1, 200], &mut rgb);
    assert_eq!(rgb, [1, 1, 1, 200, 200, 200]);
}

#[test]
#[should_panic(expected = "three bytes for each pixel of an image")]
fn colours_of_a_grayscale_image_are_refused() {
    let settings = TransformSettings { color_jitter: JITTER, ..TransformSettings::default() };
    let shape = ImageShape { channels: 1, ..SHAPE };
    _ = settings.augment((0, 0), shape, &mut [0; 120], &mut Vec::new());
}

#[test]
fn a_scratch_buffer_is_allocated_once() {
    let mut scratch = Vec::new();
    Operation::Rotate(10.0).apply(&mut noise(1), SIZE, Interpolation::Bilinear, &mut scratch);
    let (memory, capacity) = (scratch.as_ptr(), scratch.capacity());
    for index in 0..200 {
        everything(1).augment((0, index), SHAPE, &mut noise(1), &mut scratch);
    }
    assert_eq!((scratch.as_ptr(), scratch.capacity()), (memory, capacity));
}

proptest! {
    #[test]
    fn transforms_follow_one_another_and_do_not_change_each_others_draws(
        seed: u64, epoch in 0_u64..3, index in 0_usize..100, padding in 0_usize..3,
        auto_augment in prop_oneof![Just(RAND_AUGMENT), Just(AutoAugment::TrivialAugmentWide)],
    ) {
        let key = (epoch, index);
        let all = TransformSettings { random_crop_padding_px: padding, auto_augment, ..everything(seed) };
        let mut together = noise(seed);
        let draw = augment(&all, key, &mut together);

        let none = TransformSettings { seed, ..TransformSettings::default() };
        let mut steps = noise(seed);
        for step in [
            TransformSettings { random_crop_padding_px: padding, ..none },
            TransformSettings { horizontal_flip_probability: 0.5, ..none },
            TransformSettings { auto_augment, ..none },
            TransformSettings { color_jitter: JITTER, ..none },
            TransformSettings { channel_order: ChannelOrder::Bgr, ..none },
        ] {
            prop_assert_eq!(augment(&step, key, &mut steps), DeviceDraw::default());
        }
        prop_assert_eq!(together, steps);

        let lighting = TransformSettings { pca_lighting_std: 0.1, channel_order: ChannelOrder::Bgr, ..none };
        prop_assert_eq!(lighting.draw_for_device(key, SIZE).lighting, draw.lighting);
        let erasing = TransformSettings { random_erasing: ERASING, ..none }.draw_for_device(key, SIZE);
        prop_assert_eq!((erasing.erased, erasing.noise_offset), (draw.erased, draw.noise_offset));
        let crop = TransformSettings { random_resized_crop: Some(RandomResizedCrop::default()), ..none };
        prop_assert_eq!(crop.training_region(key, SIZE), all.training_region(key, SIZE));
    }

    #[test]
    fn crops_lie_in_the_image(
        width in 1_u32..3000, height in 1_u32..3000, seed: u64,
        (low, high) in (0.0_f64..1.0, 0.0_f64..1.0), (narrow, wide) in (0.1_f64..5.0, 0.1_f64..5.0),
    ) {
        let (scale, ratio) = ([low.min(high), low.max(high)], [narrow.min(wide), narrow.max(wide)]);
        let crop = random_resized_crop(Size { width, height }, scale, ratio, &mut SplitMix64::new(seed));
        prop_assert!(crop.width >= 1 && crop.left + crop.width <= width);
        prop_assert!(crop.height >= 1 && crop.top + crop.height <= height);
    }

    #[test]
    fn evaluation_keeps_the_centre(
        width in 1_u32..5000, height in 1_u32..5000, resize_px in 1_u32..600, crop_px in 1_u32..600,
    ) {
        let evaluation = Evaluation { resize_px, crop_px };
        let resized = evaluation.resized(Size { width, height });
        prop_assert_eq!(resized.width.min(resized.height), resize_px);
        let wide = resized.width >= resized.height;
        let as_before = if width > height { wide } else { resized.width <= resized.height };
        prop_assert!(as_before);
        let crop = evaluation.centre_crop(resized);
        for (side, kept_at, kept, at) in [
            (resized.width, crop.kept.left, crop.kept.width, crop.left),
            (resized.height, crop.kept.top, crop.kept.height, crop.top),
        ] {
            prop_assert!(kept_at + kept <= side && at + kept <= crop_px);
            // As much is cut off, or left black, on one side as on the other, but for one pixel.
            prop_assert!((i64::from(side - kept) - 2 * i64::from(kept_at)).abs() <= 1);
            prop_assert!((i64::from(crop_px - kept) - 2 * i64::from(at)).abs() <= 1);
        }
    }

    #[test]
    fn operations_on_images_of_any_size_stay_in_bounds(
        (width, height) in (1_u32..20, 1_u32..20), seed: u64, magnitude in 0_usize..31, negative: bool,
        name in 0_usize..14, wide: bool, nearest: bool,
    ) {
        let size = Size { width, height };
        let table = if wide { AutoAugment::TrivialAugmentWide } else { RAND_AUGMENT };
        let interpolation = if nearest { Interpolation::Nearest } else { Interpolation::Bilinear };
        let operation = table.operation(AutoAugmentOperation::ALL[name], magnitude, negative, size);
        let mut pixels = vec![0; 3 * (width * height) as usize];
        SplitMix64::new(seed).fill(&mut pixels);
        let (mut first, mut second) = (pixels.clone(), pixels);
        operation.apply(&mut first, size, interpolation, &mut Vec::new());
        operation.apply(&mut second, size, interpolation, &mut vec![200; 5000]);
        prop_assert_eq!(first, second);
    }
}
