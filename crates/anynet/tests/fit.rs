//! The fit of the RegNet rule to the widths of a body.

use proptest::prelude::*;
use regatta_anynet::{Fit, Generator, Rounding, Stage, zoo};

fn widths(stages: &[(i64, i64)]) -> Vec<Stage> {
    stages.iter().map(|&(depth, width)| Stage::plain(depth, width, 2)).collect()
}

#[test]
fn a_body_without_blocks_has_no_fit_and_equal_widths_have_slope_0() {
    assert_eq!(Fit::of(&[]), None);
    let fit = Fit::of(&widths(&[(3, 64), (2, 64)])).unwrap();
    assert!((fit.w0 - 64.0).abs() < 1e-9 && fit.wa == 0.0 && fit.e_fit < 1e-12, "{fit:?}");
}

#[test]
fn widths_that_double_are_fitted_by_wm_2() {
    let fit = Fit::of(&widths(&[(1, 32), (3, 64), (4, 128), (10, 256)])).unwrap();
    assert!(fit.e_fit < 1e-9 && (fit.wm - 2.0).abs() < 1e-9 && (fit.w0 - 32.0).abs() < 1e-9, "{fit:?}");
}

#[test]
fn widths_that_shrink_cannot_be_fitted() {
    // The best is a constant, the median.
    let fit = Fit::of(&widths(&[(4, 256), (4, 16)])).unwrap();
    let half_log_ratio = 0.5 * (256.0_f64 / 16.0).ln();
    assert!((fit.e_fit - half_log_ratio).abs() < 1e-9, "{fit:?}");
}

#[test]
fn the_published_networks_are_fitted_to_a_few_percent() {
    for published in zoo::published() {
        let fit = Fit::of(&published.network(Rounding::Pycls, 1000).unwrap().stages).unwrap();
        assert!(fit.e_fit < 0.08, "{}: {fit:?}", published.name());
    }
}

#[test]
fn the_quantised_fit_has_the_error_that_it_states() {
    let stages = widths(&[(2, 24), (3, 40), (9, 136), (4, 200)]);
    let fit = Fit::of(&stages).unwrap();
    let actual = stages.iter().flat_map(|stage| vec![stage.width as f64; stage.depth as usize]);
    let errors: Vec<f64> =
        actual.enumerate().map(|(block, width)| (fit.quantised(block) / width).ln().abs()).collect();
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    assert!((mean - fit.e_fit).abs() < 1e-9, "{mean} is not that of {fit:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Widths of the generator are rounded to multiples of 8 after quantisation, which changes each by at most 4 channels.
    #[test]
    fn a_network_of_the_generator_is_fitted_up_to_its_rounding(
        depth in 4_i64..40, w0 in 4_i64..16, wa in 8.0..80.0_f64, wm in 1.5..3.0_f64,
    ) {
        let generator =
            Generator { depth, w0: 8 * w0, wa, wm, group_width: 1, bottleneck_ratio: 1.0, se_ratio: 0.0 };
        let stages = generator.stages(Rounding::Pycls).unwrap();
        let fit = Fit::of(&stages).unwrap();
        let rounding = (1.0 + 4.0 / (8 * w0) as f64).ln();
        prop_assert!(fit.e_fit < rounding + 1e-6, "{:?} for {:?}", fit, generator);
    }
}
