//! Augmentation moves and mirrors whole pixels, and is a function of (seed, epoch, image index).

use proptest::prelude::*;
use regatta_data::{Augment, ImageShape};

const NONE: Augment = Augment { seed: 3, horizontal_flip_probability: 0.0, random_crop_padding_px: 0 };
const FLIP: Augment = Augment { horizontal_flip_probability: 1.0, ..NONE };

fn shape(channels: usize, height: usize, width: usize) -> ImageShape {
    ImageShape { channels, height, width }
}

fn image(shape: ImageShape) -> Vec<u8> {
    (0..shape.bytes()).map(|k| (k % 251 + 1) as u8).collect()
}

fn augmented(augment: &Augment, epoch: u64, index: usize, shape: ImageShape) -> Vec<u8> {
    let mut pixels = vec![77; shape.bytes()];
    augment.apply((epoch, index), shape, &image(shape), &mut pixels);
    pixels
}

/// The window of the zero-padded image whose upper left corner is `(down, right)` from the image's own.
fn window(down: isize, right: isize, shape: ImageShape) -> Vec<u8> {
    let pixels = image(shape);
    let mut out = vec![0; pixels.len()];
    for y in 0..shape.height {
        for x in 0..shape.width {
            let from = y.checked_add_signed(down).zip(x.checked_add_signed(right));
            if let Some((from_y, from_x)) = from.filter(|&(y, x)| y < shape.height && x < shape.width) {
                let (to, from) = ((y * shape.width + x), (from_y * shape.width + from_x));
                let channels = shape.channels;
                out[to * channels..][..channels].copy_from_slice(&pixels[from * channels..][..channels]);
            }
        }
    }
    out
}

#[test]
fn a_flip_mirrors_pixels_and_keeps_their_channels() {
    assert_eq!(augmented(&FLIP, 0, 0, shape(1, 2, 3)), [3, 2, 1, 6, 5, 4]);
    assert_eq!(augmented(&FLIP, 0, 0, shape(3, 1, 2)), [4, 5, 6, 1, 2, 3]);
}

#[test]
fn disabled_augmentation_changes_nothing() {
    assert!(NONE.is_identity() && !FLIP.is_identity());
    assert_eq!(augmented(&NONE, 0, 0, shape(3, 4, 5)), image(shape(3, 4, 5)));
}

#[test]
fn every_window_of_the_padded_image_occurs_about_as_often() {
    let (shape, padding) = (shape(1, 4, 6), 2);
    let crop = Augment { random_crop_padding_px: padding, ..NONE };
    let offsets = -(padding as isize)..=padding as isize;
    let windows: Vec<_> =
        offsets.clone().flat_map(|d| offsets.clone().map(move |r| window(d, r, shape))).collect();
    let mut counts = vec![0_i32; windows.len()];
    for index in 0..25_000 {
        let pixels = augmented(&crop, 0, index, shape);
        let found =
            windows.iter().position(|window| *window == pixels).expect("a window of the padded image");
        counts[found] += 1;
    }
    // Six standard deviations of a count with mean 1000.
    assert!(counts.iter().all(|count| (count - 1000).abs() < 186), "{counts:?}");
}

#[test]
fn flips_have_the_requested_frequency() {
    let sometimes = Augment { horizontal_flip_probability: 0.25, ..NONE };
    let flipped =
        (0..10_000).filter(|&index| augmented(&sometimes, 1, index, shape(1, 1, 2)) == [2, 1]).count();
    assert!((2240..2760).contains(&flipped), "{flipped}");
}

#[test]
fn draws_never_change() {
    let augment = Augment { seed: 0, horizontal_flip_probability: 0.5, random_crop_padding_px: 1 };
    let drawn =
        [(0, 4), (1, 2), (1, 5)].map(|(epoch, index)| augmented(&augment, epoch, index, shape(1, 1, 4)));
    assert_eq!(drawn, [[1, 2, 3, 4], [3, 2, 1, 0], [0, 1, 2, 3]]);
}

proptest! {
    #[test]
    fn crops_of_any_shape_are_windows_and_flips_follow_them(
        (channels, height, width) in (1_usize..4, 1_usize..9, 1_usize..9),
        padding in 0_usize..12, seed: u64, epoch in 0_u64..3, index in 0_usize..100,
    ) {
        let shape = shape(channels, height, width);
        let crop = Augment { seed, random_crop_padding_px: padding, ..NONE };
        let pixels = augmented(&crop, epoch, index, shape);
        prop_assert_eq!(&pixels, &augmented(&crop, epoch, index, shape));
        let offsets = -(padding as isize)..=padding as isize;
        let mut windows = offsets.clone().flat_map(|d| offsets.clone().map(move |r| window(d, r, shape)));
        prop_assert!(windows.any(|window| window == pixels));

        let mut mirrored = vec![77; shape.bytes()];
        FLIP.apply((0, 0), shape, &pixels, &mut mirrored);
        let both = Augment { horizontal_flip_probability: 1.0, ..crop };
        prop_assert_eq!(augmented(&both, epoch, index, shape), mirrored);
    }
}
