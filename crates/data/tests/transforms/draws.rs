//! Known draws, and the distributions of draws.

use expect_test::expect;
use regatta_data::{
    AutoAugment, AutoAugmentOperation, ColorJitter, DeviceDraw, ErasedValue, NOISE_LEN, Operation,
    RandomErasing, Size, TransformSettings,
};
use regatta_random::SplitMix64;

use super::{JITTER, RAND_AUGMENT, SIZE, everything};

/// One item a line.
fn lines(items: &[impl std::fmt::Debug]) -> String {
    items.iter().map(|item| format!("{item:?}\n")).collect()
}

#[test]
fn crops_never_change() {
    let settings = everything(5);
    let regions =
        [(0, 0), (0, 1), (1, 0)].map(|key| settings.training_region(key, Size { width: 500, height: 375 }));
    expect![[r#"
        Region { left: 80, top: 26, width: 383, height: 320 }
        Region { left: 20, top: 14, width: 429, height: 358 }
        Region { left: 14, top: 34, width: 338, height: 314 }
    "#]]
    .assert_eq(&lines(&regions));
}

#[test]
fn draws_for_the_device_never_change() {
    let draws = [(0, 0), (0, 1), (1, 0)]
        .map(|key| everything(5).draw_for_device(key, Size { width: 224, height: 224 }));
    expect![[r#"
        DeviceDraw { lighting: [0.005659105, 0.0043886974, 0.0021403334], erased: Rectangle { left: 0, top: 0, width: 0, height: 0 }, noise_offset: 0 }
        DeviceDraw { lighting: [0.004866781, 0.0027276445, 0.0009668982], erased: Rectangle { left: 83, top: 47, width: 141, height: 79 }, noise_offset: 741239 }
        DeviceDraw { lighting: [-0.003966211, -0.003960732, -0.0033690443], erased: Rectangle { left: 19, top: 149, width: 135, height: 48 }, noise_offset: 89747 }
    "#]].assert_eq(&lines(&draws));
}

#[test]
fn operations_never_change() {
    let draw = |auto: AutoAugment| {
        let mut random = SplitMix64::new(1);
        lines(&[(); 4].map(|()| auto.draw(SIZE, &mut random)))
    };
    expect![[r#"
        Saturation(1.2699999809265137)
        Brightness(1.2699999809265137)
        AutoContrast
        Solarize(178.49999696016312)
    "#]]
    .assert_eq(&draw(RAND_AUGMENT));
    expect![[r#"
        Saturation(1.75900000333786)
        Brightness(1.4289999902248383)
        AutoContrast
        Solarize(152.99999088048935)
    "#]]
    .assert_eq(&draw(AutoAugment::TrivialAugmentWide));
    expect![[r#"
        Brightness(1.2123353233560237)
        Contrast(0.8869532123086684)
        Hue(0.04527072290334955)
        Saturation(0.9386489081646796)
    "#]]
    .assert_eq(&lines(&JITTER.draw(&mut SplitMix64::new(2)).0));
}

#[test]
fn every_operation_is_drawn_about_as_often() {
    let mut random = SplitMix64::new(8);
    let mut counts = [0_i32; 14];
    for _ in 0..14_000 {
        let drawn = RAND_AUGMENT.draw(SIZE, &mut random);
        let same = |name| {
            [false, true].map(|negative| RAND_AUGMENT.operation(name, 9, negative, SIZE)).contains(&drawn)
        };
        counts[AutoAugmentOperation::ALL.iter().position(|&name| same(name)).unwrap()] += 1;
    }
    // Six standard deviations of a count with mean 1000.
    assert!(counts.iter().all(|count| (count - 1000).abs() < 183), "{counts:?}");
}

#[test]
fn trivial_augment_draws_every_magnitude_and_both_signs() {
    let mut random = SplitMix64::new(9);
    let drawn: Vec<Operation> =
        (0..20_000).map(|_| AutoAugment::TrivialAugmentWide.draw(SIZE, &mut random)).collect();
    for magnitude in 0..31 {
        for negative in [false, true] {
            let rotation = AutoAugment::TrivialAugmentWide.operation(
                AutoAugmentOperation::Rotate,
                magnitude,
                negative,
                SIZE,
            );
            let count = drawn.iter().filter(|&&operation| operation == rotation).count();
            // The mean is 23, or twice that for 0 degrees, which equals -0.
            assert!((3..90).contains(&count), "{count} of {rotation:?}");
        }
    }
}

#[test]
fn jitter_draws_every_order_and_the_whole_range() {
    let mut random = SplitMix64::new(10);
    let mut orders = std::collections::BTreeMap::new();
    let mut ranges = [(f64::MAX, f64::MIN); 4];
    for _ in 0..24_000 {
        let order = JITTER.draw(&mut random).0.map(|operation| {
            let (place, factor) = match operation {
                Operation::Brightness(factor) => (0, factor),
                Operation::Contrast(factor) => (1, factor),
                Operation::Saturation(factor) => (2, factor),
                Operation::Hue(shift) => (3, shift),
                other => panic!("{other:?} is not colour jitter"),
            };
            let (lowest, highest) = ranges[place];
            ranges[place] = (lowest.min(factor), highest.max(factor));
            place
        });
        *orders.entry(order).or_insert(0_i32) += 1;
    }
    assert!(orders.len() == 24 && orders.values().all(|count| (count - 1000).abs() < 186), "{orders:?}");
    for ((lowest, highest), (low, high)) in
        ranges.into_iter().zip([(0.6, 1.4), (0.7, 1.3), (0.8, 1.2), (-0.1, 0.1)])
    {
        assert!(
            lowest >= low && lowest < low + 1e-3 && highest < high && highest > high - 1e-3,
            "{ranges:?}"
        );
    }
    let wide = ColorJitter { brightness: 3.0, ..ColorJitter::default() };
    let drawn = (0..1000).flat_map(|_| wide.draw(&mut random).0);
    for operation in drawn {
        assert!(matches!(operation, Operation::Identity | Operation::Brightness(0.0..4.0)), "{operation:?}");
    }
}

#[test]
fn lighting_is_normal() {
    let settings = TransformSettings { pca_lighting_std: 0.1, ..TransformSettings::default() };
    let draws = (0..5000).map(|index| settings.draw_for_device((0, index), SIZE).lighting);
    // Red is a sum of three normal numbers.
    let deviation = 0.1
        * [0.5675 * 0.2175, 0.7192 * 0.0188, 0.4009 * 0.0045_f64]
            .map(|term| term * term)
            .iter()
            .sum::<f64>()
            .sqrt();
    let mut reds: Vec<f64> = draws.map(|[red, _, _]| f64::from(red) / deviation).collect();
    reds.sort_by(f64::total_cmp);
    let normal = |value: f64| 0.5 * (1.0 + libm::erf(value / 2.0_f64.sqrt()));
    let distances = reds.iter().enumerate().map(|(rank, &red)| (normal(red) - rank as f64 / 5000.0).abs());
    // Kolmogorov and Smirnov's test at a significance of 0.001.
    assert!(distances.fold(0.0, f64::max) < 1.949 / 5000.0_f64.sqrt());
}

#[test]
fn rectangles_are_erased_as_often_as_asked() {
    let size = Size { width: 224, height: 224 };
    let settings = |probability, value| TransformSettings {
        random_erasing: RandomErasing { probability, value },
        ..TransformSettings::default()
    };
    let draws =
        |settings: TransformSettings| (0..4000).map(move |index| settings.draw_for_device((2, index), size));
    let noisy: Vec<DeviceDraw> =
        draws(settings(0.25, ErasedValue::Noise)).filter(|draw| draw.erased.width > 0).collect();
    assert!((836..1164).contains(&noisy.len()), "{}", noisy.len());
    for DeviceDraw { erased, noise_offset, lighting } in noisy {
        assert!(erased.left + erased.width <= 224 && erased.top + erased.height <= 224 && erased.height > 0);
        assert!(noise_offset < NOISE_LEN as u32 && lighting == [0.0; 3]);
    }
    let zero: Vec<DeviceDraw> = draws(settings(1.0, ErasedValue::Zero)).collect();
    assert!(zero.iter().all(|draw| draw.noise_offset == 0));
    // The value does not change the rectangle, nor does the probability.
    let noise = draws(settings(1.0, ErasedValue::Noise));
    assert!(noise.zip(&zero).all(|(noise, zero)| noise.erased == zero.erased));
    // There is no room for a rectangle that is smaller than a pixel.
    let tiny = settings(1.0, ErasedValue::Noise).draw_for_device((0, 0), Size { width: 1, height: 1 });
    assert_eq!(tiny, DeviceDraw::default());
}
