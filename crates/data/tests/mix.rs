//! Draws of Mixup and CutMix: known ones, their distributions, and the bounds of CutMix's rectangle.

use expect_test::expect;
use proptest::prelude::*;
use regatta_data::{Mix, MixSettings, Rectangle, Size, cutmix};

const SIZE: Size = Size { width: 224, height: 160 };
const BOTH: MixSettings =
    MixSettings { seed: 5, mixup_alpha: 0.2, cutmix_alpha: 1.0, probability: 1.0, switch_probability: 0.5 };

/// What happens to the first micro-batches of an epoch.
fn draws(settings: MixSettings, count: usize) -> impl Iterator<Item = Mix> {
    (0..count).map(move |number| settings.draw(0, number, SIZE))
}

#[test]
fn draws_never_change() {
    let drawn = [(0, 0), (0, 1), (0, 2), (1, 0)].map(|(epoch, number)| BOTH.draw(epoch, number, SIZE));
    let lines: String = drawn.iter().map(|mix| format!("{mix:?}\n")).collect();
    expect![[r#"
        CutMix { replaced: Rectangle { left: 37, top: 46, width: 22, height: 14 }, kept: 0.99140625 }
        CutMix { replaced: Rectangle { left: 0, top: 36, width: 122, height: 124 }, kept: 0.5779017857142856 }
        MixUp { kept: 0.3257587431539427 }
        CutMix { replaced: Rectangle { left: 60, top: 0, width: 144, height: 101 }, kept: 0.5941964285714285 }
    "#]]
    .assert_eq(&lines);
}

#[test]
fn each_kind_is_drawn_as_often_as_asked() {
    let check = |settings: MixSettings, expected: [f64; 3]| {
        let mut counts = [0.0; 3];
        for mix in draws(settings, 4000) {
            counts[match mix {
                Mix::None => 0,
                Mix::MixUp { .. } => 1,
                Mix::CutMix { .. } => 2,
            }] += 1.0;
        }
        for (count, probability) in counts.iter().zip(expected) {
            let six_deviations = 6.0 * (4000.0 * probability * (1.0 - probability)).sqrt();
            assert!((count - 4000.0 * probability).abs() <= six_deviations, "{settings:?}: {counts:?}");
        }
    };
    check(BOTH, [0.0, 0.5, 0.5]);
    check(MixSettings { probability: 0.3, switch_probability: 0.25, ..BOTH }, [0.7, 0.225, 0.075]);
    check(MixSettings { cutmix_alpha: 0.0, ..BOTH }, [0.0, 1.0, 0.0]);
    check(MixSettings { mixup_alpha: 0.0, probability: 0.5, ..BOTH }, [0.5, 0.0, 0.5]);
    check(MixSettings { probability: 0.0, ..BOTH }, [1.0, 0.0, 0.0]);
    check(MixSettings { mixup_alpha: 0.0, cutmix_alpha: 0.0, ..BOTH }, [1.0, 0.0, 0.0]);
}

/// The distribution function of Beta(alpha, alpha), by Simpson's rule. Below x = 1/2 its density is smooth in t = x^power; the other
/// half is symmetric.
fn beta_cdf(alpha: f64, x: f64) -> f64 {
    if x > 0.5 {
        return 1.0 - beta_cdf(alpha, 1.0 - x);
    }
    let power = alpha.min(1.0);
    let integral_to = |x: f64| {
        let end = x.powf(power);
        let density = |index: i32| {
            let x = (end * f64::from(index) / 200.0).powf(1.0 / power);
            x.powf(alpha - power) * (1.0 - x).powf(alpha - 1.0)
        };
        let weight = |index: i32| if index == 0 || index == 200 { 1 } else { 2 + index % 2 * 2 };
        end * (0..=200).map(|index| f64::from(weight(index)) * density(index)).sum::<f64>()
    };
    0.5 * integral_to(x) / integral_to(0.5)
}

#[test]
fn shares_have_the_beta_distribution() {
    let arcsine = |x: f64| x.sqrt().asin() * std::f64::consts::FRAC_2_PI;
    for x in [0.01, 0.3, 0.5, 0.8] {
        assert!((beta_cdf(1.0, x) - x).abs() < 1e-9 && (beta_cdf(0.5, x) - arcsine(x)).abs() < 1e-6, "{x}");
        assert!((beta_cdf(2.0, x) - x * x * (3.0 - 2.0 * x)).abs() < 1e-6, "{x}");
    }
    for alpha in [0.1, 0.2, 0.5, 0.8, 1.0, 2.0, 30.0] {
        let settings = MixSettings { mixup_alpha: alpha, cutmix_alpha: 0.0, ..BOTH };
        let mut shares: Vec<f64> = draws(settings, 4000)
            .map(|mix| match mix {
                Mix::MixUp { kept } => kept,
                other => panic!("{other:?} is not Mixup"),
            })
            .collect();
        shares.sort_by(f64::total_cmp);
        let distance =
            |(rank, &share): (usize, &f64)| (beta_cdf(alpha, share) - (rank as f64 + 0.5) / 4000.0).abs();
        let largest = shares.iter().enumerate().map(distance).fold(0.0, f64::max);
        // Kolmogorov and Smirnov's test at a significance of 0.001.
        assert!(largest < 1.949 / 4000.0_f64.sqrt(), "alpha {alpha}: {largest}");
    }
}

/// Both Gamma numbers are below the smallest `f64`, and yet have a share.
#[test]
fn shares_of_extreme_distributions_are_numbers() {
    for (alpha, is_expected) in [
        (1e-3, (|kept| !(0.4..0.6).contains(&kept)) as fn(f64) -> bool),
        (1e3, |kept| (0.4..0.6).contains(&kept)),
    ] {
        let settings = MixSettings { mixup_alpha: alpha, cutmix_alpha: 0.0, ..BOTH };
        let mut sum = 0.0;
        for mix in draws(settings, 200) {
            let Mix::MixUp { kept } = mix else { panic!("{mix:?} is not Mixup") };
            assert!((0.0..=1.0).contains(&kept) && is_expected(kept), "{alpha}: {kept}");
            sum += kept;
        }
        assert!((70.0..130.0).contains(&sum), "{alpha}: {sum}");
    }
}

proptest! {
    #[test]
    fn the_rectangle_is_inside_of_the_image_and_the_label_has_its_area(
        width in 1u32..300, height in 1u32..300, share in 0.0..=1.0f64, column in 0.0..1.0f64, row in 0.0..1.0f64,
    ) {
        let at = |side: u32, fraction: f64| (f64::from(side) * fraction) as u32;
        let mix = cutmix(Size { width, height }, share, [at(width, column), at(height, row)]);
        let Mix::CutMix { replaced: Rectangle { left, top, width: w, height: h }, kept } = mix else {
            panic!("{mix:?} is not CutMix")
        };
        prop_assert!(left + w <= width && top + h <= height);
        prop_assert!((kept - (1.0 - f64::from(w * h) / f64::from(width * height))).abs() < 1e-12);
        // Clipping only makes it smaller.
        prop_assert!(kept >= share - 1e-12);
    }
}
