//! Laws of the generator: whatever it draws can be built and is what was asked for.

use proptest::prelude::*;
use regatta_anynet::{Generator, Network, NetworkError, Rounding};

/// Generators that go wider than any published network, at ratios that every width can meet.
fn generators() -> impl Strategy<Value = (Generator, Rounding)> {
    let rounding = prop_oneof![Just(Rounding::Pycls), Just(Rounding::Torchvision)];
    let bottleneck_ratio = prop::sample::select(vec![0.25, 0.5, 1.0, 2.0, 3.0, 4.0]);
    (1..=40i64, 1..=40i64, 0.0..=256.0f64, 1.5..=3.0f64, 1..=256i64, bottleneck_ratio, rounding).prop_map(
        |(depth, w0_in_eights, wa, wm, group_width, bottleneck_ratio, rounding)| {
            let w0 = 8 * w0_in_eights;
            (Generator { depth, w0, wa, wm, group_width, bottleneck_ratio, se_ratio: 0.0 }, rounding)
        },
    )
}

proptest! {
    #[test]
    fn generated_stages_are_valid((generator, rounding) in generators()) {
        match generator.stages(rounding) {
            Ok(stages) => prop_assert_eq!(Network::of_stages(stages, 1000).validate(), Ok(())),
            Err(error) => prop_assert!(matches!(error, NetworkError::GeneratedWidth { .. }), "{error}"),
        }
    }

    #[test]
    fn depths_sum_to_the_total_and_widths_do_not_decrease((generator, rounding) in generators()) {
        let Ok(stages) = generator.stages(rounding) else { return Ok(()) };
        prop_assert_eq!(stages.iter().map(|stage| stage.depth).sum::<i64>(), generator.depth);
        prop_assert!(stages.is_sorted_by_key(|stage| stage.width), "{stages:?}");
    }

    #[test]
    fn bottlenecks_fall_into_whole_groups((generator, rounding) in generators()) {
        let Ok(stages) = generator.stages(rounding) else { return Ok(()) };
        for stage in stages {
            prop_assert!(stage.group_width <= generator.group_width);
            prop_assert_eq!(stage.groups() * stage.group_width, stage.bottleneck_width());
            prop_assert_eq!(stage.bottleneck_width() as f64, stage.width as f64 * stage.bottleneck_ratio);
        }
    }

    /// Whatever the numbers, it answers: no panic, no overflow, nothing that cannot be built.
    #[test]
    fn extreme_numbers_are_drawn_or_refused(
        (depth, w0_in_eights, group_width) in (0..=1_000i64, 0..=8_192i64, 0..=65_536i64),
        (wa, wm_above_one, bottleneck_ratio) in (any::<f64>(), any::<f64>(), 0.0..=65.0f64),
        has_whole_ratio in any::<bool>(),
    ) {
        let generator = Generator {
            depth,
            w0: 8 * w0_in_eights,
            wa: wa.abs(),
            wm: 1.0 + wm_above_one.abs(),
            group_width,
            bottleneck_ratio: if has_whole_ratio { bottleneck_ratio.trunc() } else { bottleneck_ratio / 65.0 },
            se_ratio: 0.0,
        };
        if let Ok(stages) = generator.stages(Rounding::Pycls) {
            prop_assert_eq!(Network::of_stages(stages, 1000).validate(), Ok(()));
        }
    }
}
