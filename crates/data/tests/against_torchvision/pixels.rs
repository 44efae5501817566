//! Operations on pixels, at every magnitude, on images of several kinds.

use regatta_data::{AutoAugment, AutoAugmentOperation as Name, Interpolation, MAGNITUDES, Operation, Size};
use regatta_random::SplitMix64;
use serde_json::{Value, json};

pub(super) struct Image {
    pub(super) size: Size,
    pub(super) rgb: Vec<u8>,
}

/// An operation on one of the images, and its description for Python.
pub(super) struct Case {
    image: usize,
    operation: Operation,
    interpolation: Interpolation,
    pub(super) description: Value,
}

/// An image whose bytes are a function of column, row and channel.
fn image(width: u32, height: u32, mut value: impl FnMut(u32, u32, u32) -> u32) -> Image {
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            rgb.extend((0..3).map(|channel| value(x, y, channel) as u8));
        }
    }
    Image { size: Size { width, height }, rgb }
}

fn noise(width: u32, height: u32) -> Image {
    let mut random = SplitMix64::new(u64::from(width * height));
    image(width, height, |_, _, _| random.next_u64() as u32)
}

pub(super) fn images() -> Vec<Image> {
    let mut random = SplitMix64::new(1);
    vec![
        noise(41, 29),
        noise(7, 5),
        noise(2, 3),
        noise(1, 20),
        noise(224, 224),
        image(64, 48, |x, y, channel| [4 * x, 5 * y, 2 * (x + y)][channel as usize]),
        image(50, 50, |_, _, channel| 100 + 20 * channel + random.below(30) as u32),
        image(16, 16, |_, _, channel| [7, 200, 90][channel as usize]),
        image(1, 1, |_, _, channel| [7, 200, 90][channel as usize]),
    ]
}

pub(super) fn cases(images: &[Image]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (index, image) in images.iter().enumerate() {
        let rand_augment = AutoAugment::RandAugment { operations: 2, magnitude: 9 };
        add_table((rand_augment, "rand_augment"), index, image, &mut cases);
        add_table((AutoAugment::TrivialAugmentWide, "trivial_augment_wide"), index, image, &mut cases);
        add_factors(index, &mut cases);
    }
    cases
}

/// Adds all entries of a table of magnitudes; for the largest image every sixth.
fn add_table(
    (table, table_name): (AutoAugment, &str),
    image: usize,
    Image { size, .. }: &Image,
    cases: &mut Vec<Case>,
) {
    let step = if size.width > 100 { 6 } else { 1 };
    for name in Name::ALL {
        let interpolations: &[_] = match name {
            Name::ShearX | Name::ShearY | Name::TranslateX | Name::TranslateY | Name::Rotate => {
                &[(Interpolation::Bilinear, "bilinear"), (Interpolation::Nearest, "nearest")]
            }
            _ => &[(Interpolation::Bilinear, "bilinear")],
        };
        for magnitude in (0..MAGNITUDES).step_by(step) {
            for negative in [false, true] {
                let operation = table.operation(name, magnitude, negative, *size);
                cases.extend(interpolations.iter().map(|&(interpolation, interpolation_name)| Case {
                    image,
                    operation,
                    interpolation,
                    description: json!({
                        "image": image, "space": table_name, "operation": format!("{name:?}"),
                        "magnitude": magnitude, "negative": negative, "interpolation": interpolation_name,
                    }),
                }));
            }
        }
    }
}

/// Adds colour jitter's operations over their factors, and inversion.
fn add_factors(image: usize, cases: &mut Vec<Case>) {
    let mut add = |function: &str, argument: Option<f64>, operation| {
        let description = json!({ "image": image, "function": function, "argument": argument });
        cases.push(Case { image, operation, interpolation: Interpolation::Nearest, description });
    };
    for step in 0..=20 {
        let factor = f64::from(step) * 0.1037;
        add("adjust_brightness", Some(factor), Operation::Brightness(factor));
        add("adjust_contrast", Some(factor), Operation::Contrast(factor));
        add("adjust_saturation", Some(factor), Operation::Saturation(factor));
        add("adjust_sharpness", Some(factor), Operation::Sharpness(factor));
        let shift = f64::from(step) / 20.0 - 0.5;
        add("adjust_hue", Some(shift), Operation::Hue(shift));
    }
    add("invert", None, Operation::Invert);
}

/// Compares all cases with torchvision's results, one after the other in `theirs`.
pub(super) fn compare(images: &[Image], cases: &[Case], mut theirs: &[u8]) {
    let mut scratch = vec![77; 5];
    for case in cases {
        let Image { size, rgb } = &images[case.image];
        let (expected, later) = theirs.split_at(rgb.len());
        theirs = later;
        let mut apply = |operation: Operation| {
            let mut pixels = rgb.clone();
            operation.apply(&mut pixels, *size, case.interpolation, &mut scratch);
            pixels
        };
        let ours = apply(case.operation);
        match (case.operation, case.interpolation) {
            (Operation::ShearX(_) | Operation::ShearY(_) | Operation::Rotate(_), Interpolation::Bilinear) => {
                check_nearly_equal(&ours, expected, case);
            }
            (Operation::ShearX(_) | Operation::ShearY(_) | Operation::Rotate(_), Interpolation::Nearest) => {
                check_nearest(&ours, expected, nudged(case.operation).map(apply), case);
            }
            _ => assert!(ours == expected, "{}: {ours:?}, torchvision {expected:?}", case.description),
        }
    }
    assert!(theirs.is_empty(), "{} bytes without a case", theirs.len());
}

/// torchvision computes positions in single precision: bytes may differ by 1, which happens for up to 7 % of them where whole
/// rows lie half-way between two values.
fn check_nearly_equal(ours: &[u8], expected: &[u8], case: &Case) {
    let differences: Vec<u8> = ours.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).collect();
    let differing = differences.iter().filter(|&&difference| difference > 0).count();
    assert!(differences.iter().all(|&difference| difference <= 1), "{}: {differences:?}", case.description);
    assert!(differing <= 2 + ours.len() / 10, "{}: {differing} of {}", case.description, ours.len());
}

/// A shear or rotation that is weaker and one that is stronger by less than a pixel's thousandth.
fn nudged(operation: Operation) -> [Operation; 2] {
    [-1.0, 1.0].map(|sign| match operation {
        Operation::ShearX(tangent) => Operation::ShearX(tangent * (1.0 + sign * 1e-5)),
        Operation::ShearY(tangent) => Operation::ShearY(tangent * (1.0 + sign * 1e-5)),
        Operation::Rotate(degrees) => Operation::Rotate(degrees + sign * 1e-3),
        other => other,
    })
}

/// Where a position lies half-way between two pixels, rounding in single precision decides which is the nearest. A pixel that
/// differs must therefore be the one of an operation that is a little weaker or stronger.
fn check_nearest(ours: &[u8], expected: &[u8], nudged: [Vec<u8>; 2], case: &Case) {
    let turned_by_90 = matches!(case.operation, Operation::Rotate(degrees) if degrees.abs() == 90.0);
    for (place, pixel) in expected.chunks_exact(3).enumerate() {
        let of = |image: &[u8]| image[3 * place..][..3] == *pixel;
        // After a quarter turn of an image with an odd and an even side, all positions are half-way in both directions.
        let as_expected = of(ours) || nudged.iter().any(|image| of(image)) || turned_by_90;
        assert!(as_expected, "{}: pixel {place} is {pixel:?} in torchvision", case.description);
    }
}
