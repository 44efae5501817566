//! Random crops and erased rectangles in distribution, evaluation's geometry, PCA lighting and CutMix's rectangle.

use regatta_data::{
    ChannelOrder, Evaluation, Mix, Rectangle, Region, Size, cutmix, draw_erased, lighting,
    random_resized_crop,
};
use regatta_random::SplitMix64;
use serde_json::{Value, json};

/// Draws of each crop and erased rectangle.
const DRAWS: u32 = 3000;

/// Image's width and height, scale and ratio. The fifth's crops mostly do not fit, so that all attempts fail.
const CROPS: [([u32; 2], [f64; 2], [f64; 2]); 6] = [
    ([500, 375], [0.08, 1.0], [3.0 / 4.0, 4.0 / 3.0]),
    ([375, 500], [0.35, 1.0], [3.0 / 4.0, 4.0 / 3.0]),
    ([64, 64], [0.08, 1.0], [1.0, 1.0]),
    ([9, 7], [0.5, 1.0], [0.5, 2.0]),
    ([400, 30], [0.08, 1.0], [3.0 / 4.0, 4.0 / 3.0]),
    ([30, 400], [0.9, 1.0], [3.0 / 4.0, 4.0 / 3.0]),
];

pub(super) fn crop_cases() -> Value {
    CROPS.iter().map(|(size, scale, ratio)| json!([size, scale, ratio, DRAWS])).collect()
}

const ERASED: [[u32; 2]; 3] = [[224, 224], [32, 48], [200, 12]];

pub(super) fn erased_cases() -> Value {
    ERASED.iter().map(|size| json!([size, DRAWS])).collect()
}

pub(super) const LIGHTING_CASES: [[f64; 3]; 4] =
    [[0.1, 0.0, 0.0], [0.0, -0.2, 0.0], [0.0, 0.0, 0.3], [0.12, 0.034, -0.056]];

fn size([width, height]: [u32; 2]) -> Size {
    Size { width, height }
}

type Drawn = [u32; 4];

pub(super) fn compare_crops(theirs: &Value) {
    for (index, &(image, scale, ratio)) in CROPS.iter().enumerate() {
        let mut random = SplitMix64::new(index as u64);
        let ours: Vec<Drawn> = (0..DRAWS)
            .map(|_| random_resized_crop(size(image), scale, ratio, &mut random))
            .map(|Region { left, top, width, height }| [left, top, width, height])
            .collect();
        compare_distributions(&ours, &theirs[index], &format!("crops of {image:?}"));
    }
}

pub(super) fn compare_erased(theirs: &Value) {
    for (index, &image) in ERASED.iter().enumerate() {
        let mut random = SplitMix64::new(index as u64);
        let ours: Vec<Drawn> = (0..DRAWS)
            .filter_map(|_| draw_erased(size(image), &mut random))
            .map(|Rectangle { left, top, width, height }| [left, top, width, height])
            .collect();
        compare_distributions(&ours, &theirs[index], &format!("erased in {image:?}"));
    }
}

fn compare_distributions(ours: &[Drawn], theirs: &Value, what: &str) {
    let theirs: Vec<Drawn> = serde_json::from_value(theirs.clone()).unwrap();
    // Seldom fewer than all: six standard deviations of the difference of two numbers of failures.
    let failures = [ours.len(), theirs.len()].map(|drawn| f64::from(DRAWS) - drawn as f64);
    assert!(
        (failures[0] - failures[1]).abs() <= 6.0 * (failures[0] + failures[1]).sqrt(),
        "{what}: {failures:?}"
    );
    let area = |[_, _, width, height]: Drawn| f64::from(width * height).ln();
    let ratio = |[_, _, width, height]: Drawn| (f64::from(width) / f64::from(height)).ln();
    compare_samples(ours, &theirs, area, &format!("log area of {what}"));
    compare_samples(ours, &theirs, ratio, &format!("log ratio of {what}"));
    compare_samples(ours, &theirs, |[left, ..]| f64::from(left), &format!("left of {what}"));
    compare_samples(ours, &theirs, |[_, top, ..]| f64::from(top), &format!("top of {what}"));
}

/// Kolmogorov and Smirnov's test of two samples at a significance of 0.001.
fn compare_samples(ours: &[Drawn], theirs: &[Drawn], feature: impl Fn(Drawn) -> f64, what: &str) {
    let sorted = |drawn: &[Drawn]| {
        let mut values: Vec<f64> = drawn.iter().map(|&drawn| feature(drawn)).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (ours, theirs) = (sorted(ours), sorted(theirs));
    let share = |sample: &[f64], value: f64| {
        sample.partition_point(|&other| other <= value) as f64 / sample.len() as f64
    };
    let values = ours.iter().chain(&theirs);
    let distance =
        values.map(|&value| (share(&ours, value) - share(&theirs, value)).abs()).fold(0.0, f64::max);
    let allowed = 1.949 * (1.0 / ours.len() as f64 + 1.0 / theirs.len() as f64).sqrt();
    assert!(distance <= allowed, "{what}: {distance}, allowed are {allowed}");
}

/// Width and height, the shorter side after the resize, and the crop.
fn evaluations() -> Vec<([u32; 2], u32, u32)> {
    let mut random = SplitMix64::new(4);
    let mut side = |bound| 1 + random.below(bound) as u32;
    let drawn = (0..400)
        .map(|index| ([side(1000), side(1000)], side(300), side(if index % 2 == 0 { 300 } else { 900 })));
    let common = [[500, 375], [375, 500], [1, 1], [20_000, 1], [333, 334]].map(|size| (size, 256, 224));
    drawn.chain(common).collect()
}

pub(super) fn evaluation_cases() -> Value {
    evaluations().iter().map(|case| json!(case)).collect()
}

pub(super) fn compare_evaluation(theirs: &Value) {
    for (case, expected) in evaluations().iter().zip(theirs.as_array().unwrap()) {
        let &(image, resize_px, crop_px) = case;
        let evaluation = Evaluation { resize_px, crop_px };
        let resized = evaluation.resized(size(image));
        let crop = evaluation.centre_crop(resized);
        let ours = json!([resized.width, resized.height, crop.left, crop.top, crop.kept.left, crop.kept.top]);
        assert_eq!(ours, *expected, "{case:?}");
        assert_eq!(
            (crop.kept.width, crop.kept.height),
            (crop_px.min(resized.width), crop_px.min(resized.height))
        );
    }
}

pub(super) fn compare_lighting(theirs: &Value) {
    for (alphas, expected) in LIGHTING_CASES.iter().zip(theirs.as_array().unwrap()) {
        let expected: Vec<f64> = serde_json::from_value(expected.clone()).unwrap();
        let mut ours = lighting(*alphas, ChannelOrder::Bgr);
        assert!(
            ours.iter().zip(&expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-8),
            "{ours:?}, {expected:?}"
        );
        ours.reverse();
        assert_eq!(lighting(*alphas, ChannelOrder::Rgb), ours);
    }
}

/// Image's width and height, the drawn share, and the column and row of the centre.
const CUTMIX: [([u32; 2], f64, [u32; 2]); 9] = [
    ([224, 224], 0.5, [100, 100]),
    ([224, 160], 0.3, [0, 0]),
    ([224, 160], 0.3, [223, 159]),
    ([176, 176], 0.0, [88, 88]),
    ([176, 176], 1.0, [50, 60]),
    ([32, 48], 0.999, [31, 20]),
    ([32, 48], 0.123_456_789, [3, 47]),
    ([7, 5], 0.6, [6, 0]),
    ([1, 1], 0.1, [0, 0]),
];

pub(super) fn cutmix_cases() -> Value {
    CUTMIX.iter().map(|(size, share, centre)| json!([size, share, centre])).collect()
}

/// The same corners, and the same weight of the label to the bit.
pub(super) fn compare_cutmix(theirs: &Value) {
    for (index, &(image, share, centre)) in CUTMIX.iter().enumerate() {
        let Mix::CutMix { replaced: Rectangle { left, top, width, height }, kept } =
            cutmix(size(image), share, centre)
        else {
            panic!("case {index} is not CutMix")
        };
        let corners = [left, top, left + width, top + height];
        assert_eq!(json!([corners, kept]), theirs[index], "CutMix of {image:?} at {centre:?}");
    }
}
