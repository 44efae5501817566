//! The distribution function of errors by hand, its band, and what compares two.

use expect_test::expect;
use proptest::prelude::*;
use regatta_anynet::SplitMix64;
use regatta_anynet::edf::{Bootstrap, Comparison, Dominance, Edf};

fn edf(errors: &[f64]) -> Edf {
    Edf::new(errors.to_vec()).expect("finite errors")
}

/// `count` errors, uniform in 40 to 60.
fn sample(seed: u64, count: usize) -> Edf {
    let mut random = SplitMix64::new(seed);
    edf(&(0..count).map(|_| 40.0 + 20.0 * random.unit()).collect::<Vec<_>>())
}

#[test]
fn an_edf_counts_errors_strictly_below() {
    let edf = edf(&[50.0, 40.0, 45.0, 45.0]);
    let shares =
        [(39.0, 0.0), (40.0, 0.0), (40.1, 0.25), (45.0, 0.25), (45.1, 0.75), (50.0, 0.75), (50.1, 1.0)];
    for (error, share) in shares {
        assert_eq!(edf.at(error), share, "F({error})");
    }
    assert_eq!((edf.min(), edf.median(), edf.mean()), (40.0, 45.0, 45.0));
    assert_eq!(edf.errors(), [40.0, 45.0, 45.0, 50.0]);
}

#[test]
fn the_median_of_an_even_number_is_between_the_middle_ones() {
    assert_eq!(edf(&[1.0, 9.0, 3.0, 4.0]).median(), 3.5);
    assert_eq!(edf(&[9.0, 1.0, 3.0]).median(), 3.0);
    assert_eq!(edf(&[7.0]).median(), 7.0);
}

#[test]
fn impossible_samples_and_bands_are_refused() {
    let refused = |errors: &[f64]| Edf::new(errors.to_vec()).expect_err("no sample").to_string();
    expect!["errors is empty, must hold the error of at least one network"].assert_eq(&refused(&[]));
    expect!["errors[1] is NaN, must be a finite number (a network that learned nothing has an error, too)"]
        .assert_eq(&refused(&[1.0, f64::NAN]));
    expect!["errors[0] is inf, must be a finite number (a network that learned nothing has an error, too)"]
        .assert_eq(&refused(&[f64::INFINITY]));
    let refused = |bootstrap| edf(&[1.0, 2.0]).band(bootstrap).expect_err("no band").to_string();
    expect!["level is 1.0, must be above 0 and below 1, such as 0.95"]
        .assert_eq(&refused(Bootstrap { level: 1.0, ..Bootstrap::default() }));
    expect!["level is NaN, must be above 0 and below 1, such as 0.95"]
        .assert_eq(&refused(Bootstrap { level: f64::NAN, ..Bootstrap::default() }));
    expect!["resamples is 39, must be from 40 to 1000000 at level 0.95"]
        .assert_eq(&refused(Bootstrap { resamples: 39, ..Bootstrap::default() }));
}

#[test]
fn a_band_encloses_its_function_and_repeats() {
    let edf = sample(1, 100);
    let band = edf.band(Bootstrap::default()).expect("a band");
    assert_eq!(edf.band(Bootstrap::default()).as_ref(), Ok(&band));
    assert_ne!(edf.band(Bootstrap { seed: 1, ..Bootstrap::default() }).as_ref(), Ok(&band));
    for point in &band.points {
        assert!(point.lower <= point.share && point.share <= point.upper, "{point:?}");
    }
    // What is constant between errors is that up to the next one.
    for pair in band.points.windows(2) {
        assert_eq!(band.at(pair[1].error), (pair[0].lower, pair[0].upper));
        assert_eq!(edf.at(pair[1].error), pair[0].share);
    }
    assert_eq!(band.at(edf.min()), (0.0, 0.0));
    assert_eq!(band.at(100.0), (1.0, 1.0));
}

/// The resampled shares at one error are binomial, so that the quantiles of the binomial law are the band's.
#[test]
fn a_band_has_the_quantiles_of_the_binomial_law() {
    let edf = edf(&[vec![40.0; 50], vec![60.0; 50]].concat());
    let bootstrap = Bootstrap { resamples: 20_000, level: 0.95, seed: 3 };
    let band = edf.band(bootstrap).expect("a band");
    assert_eq!(band.points.len(), 2);
    // Of 100 networks with probability 1/2, 40 is the 0.025 and 60 the 0.975 quantile.
    assert_eq!(band.at(50.0), (0.4, 0.6));
}

#[test]
fn a_band_covers_the_truth_as_often_as_it_says() {
    let bootstrap = Bootstrap { resamples: 200, level: 0.9, seed: 5 };
    let samples = 400;
    let covers = |seed: &u64| {
        let (lower, upper) = sample(100 + seed, 60).band(bootstrap).expect("a band").at(48.0);
        (lower..=upper).contains(&0.4)
    };
    let share = (0..samples).filter(covers).count() as f64 / samples as f64;
    // Four standard deviations of 400 throws, and the band of 60 networks is a little short of its level.
    assert!((0.82..=0.96).contains(&share), "{share} of the bands cover the truth");
}

#[test]
fn a_band_narrows_with_the_root_of_the_networks() {
    let height = |networks| {
        let (lower, upper) = sample(9, networks).band(Bootstrap::default()).expect("a band").at(50.0);
        upper - lower
    };
    let ratio = height(100) / height(1_600);
    assert!((3.0..=5.3).contains(&ratio), "16 times the networks make a band {ratio} times lower");
}

fn check(first: &[f64], second: &[f64], distance: f64, at: f64, dominance: Dominance) {
    let comparison = Comparison::of(&edf(first), &edf(second));
    assert_eq!(comparison, Comparison { distance, at, dominance }, "{first:?} and {second:?}");
}

#[test]
fn comparisons_by_hand() {
    check(&[1.0, 2.0], &[1.0, 2.0], 0.0, 1.0, Dominance::Equal);
    check(&[1.0, 2.0], &[1.0, 1.0, 2.0, 2.0], 0.0, 1.0, Dominance::Equal);
    // All of the first's are below the second's: at the second's smallest error, F is 1 and 0.
    check(&[1.0, 2.0], &[3.0, 4.0], 1.0, 3.0, Dominance::First);
    check(&[3.0, 4.0], &[1.0, 2.0], 1.0, 3.0, Dominance::Second);
    // Just above 2: 2/3 and 1/3.
    check(&[1.0, 2.0, 4.0], &[1.0, 3.0, 4.0], 1.0 / 3.0, 3.0, Dominance::First);
    // Above 1: 1/2 and 0; above 3: 1/2 and 1. Of equal distances the first counts.
    check(&[1.0, 4.0], &[2.0, 3.0], 0.5, 2.0, Dominance::Crossing);
    // Samples of different sizes. Above 1: 1/1 and 1/4.
    check(&[1.0], &[1.0, 2.0, 2.0, 3.0], 0.75, 2.0, Dominance::First);
}

fn errors() -> impl Strategy<Value = Vec<f64>> {
    // Few values, so that ties are common.
    prop::collection::vec((0..12_i32).prop_map(|error| f64::from(error) / 2.0), 1..20)
}

proptest! {
    #[test]
    fn comparisons_are_symmetric(first in errors(), second in errors()) {
        let (first, second) = (edf(&first), edf(&second));
        let (there, back) = (Comparison::of(&first, &second), Comparison::of(&second, &first));
        prop_assert_eq!((there.distance, there.at), (back.distance, back.at));
        let turned = match there.dominance {
            Dominance::First => Dominance::Second,
            Dominance::Second => Dominance::First,
            same => same,
        };
        prop_assert_eq!(back.dominance, turned);
        prop_assert_eq!(Comparison::of(&first, &first).distance, 0.0);
    }

    #[test]
    fn the_distance_is_the_largest_difference(first in errors(), second in errors()) {
        let (first, second) = (edf(&first), edf(&second));
        let Comparison { distance, at, dominance } = Comparison::of(&first, &second);
        prop_assert!((0.0..=1.0).contains(&distance));
        prop_assert!(((first.at(at) - second.at(at)).abs() - distance).abs() < 1e-12);
        let leads: Vec<f64> = (-1..30).map(|e| f64::from(e) / 4.0).map(|e| first.at(e) - second.at(e)).collect();
        prop_assert!(leads.iter().all(|lead| lead.abs() <= distance + 1e-12));
        let expected = match (leads.iter().any(|it| *it > 1e-12), leads.iter().any(|it| *it < -1e-12)) {
            (true, false) => Dominance::First,
            (false, true) => Dominance::Second,
            (false, false) => Dominance::Equal,
            (true, true) => Dominance::Crossing,
        };
        prop_assert_eq!(dominance, expected);
    }
}
