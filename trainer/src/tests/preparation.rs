//! The device adds lighting before the normalisation and erases after it, each image by its own draw.

use regatta_data::{
    DeviceDraw, DeviceWork, ErasedValue, ImageShape, Labelled, NOISE_LEN, Rectangle, block_bytes,
    header_bytes, noise_table, write_header,
};
use tch::{Device, Kind, Tensor};

use super::networks::{FOUR_STAGES, recipe};
use crate::preparation::Preparation;

const SHAPE: ImageShape = ImageShape { channels: 3, height: 4, width: 5 };
const IMAGES: usize = 3;
const BYTES: usize = 60;

fn draws() -> [DeviceDraw; IMAGES] {
    let erased = Rectangle { left: 1, top: 2, width: 3, height: 1 };
    let whole = Rectangle { left: 0, top: 0, width: 5, height: 4 };
    [
        DeviceDraw { lighting: [0.5, -0.25, 0.125], erased, noise_offset: 7 },
        DeviceDraw::default(),
        // The noise wraps around the end of the table.
        DeviceDraw { lighting: [0.0, 0.0, 1.0], erased: whole, noise_offset: NOISE_LEN as u32 - 9 },
    ]
}

fn block(draws: [DeviceDraw; IMAGES]) -> Tensor {
    let mut block = vec![0; block_bytes(IMAGES, SHAPE)];
    let mut label = 40;
    let labelled = draws.map(|draw| {
        label += 1;
        Labelled { label, draw }
    });
    write_header(&mut block, &labelled);
    let pixels = block[header_bytes(IMAGES)..].iter_mut();
    pixels.enumerate().for_each(|(place, byte)| *byte = (place * 37 % 256) as u8);
    Tensor::from_slice(&block)
}

/// Images and labels in fp64, at their own size.
fn prepared(draws: [DeviceDraw; IMAGES], work: DeviceWork) -> (Vec<f64>, Vec<i64>) {
    let sets = ["train.precision=fp64", "data.mean=[0.5, 0.4, 0.3]", "data.std=[0.25, 0.5, 0.2]"];
    let recipe = recipe(FOUR_STAGES, &sets.map(str::to_owned));
    let preparation = Preparation::new(&recipe, SHAPE, 64, work, Device::Cpu);
    let (images_nchw, labels) = preparation.apply_unresized(&block(draws), IMAGES);
    let images = images_nchw.contiguous().view([-1]).to_kind(Kind::Double);
    (Vec::try_from(images).unwrap(), Vec::try_from(labels).unwrap())
}

/// What the definition gives for an image's value.
fn expected(image: usize, [channel, row, column]: [usize; 3], work: DeviceWork, table: &[f32]) -> f64 {
    let (mean, std) = ([0.5, 0.4, 0.3], [0.25, 0.5, 0.2]);
    let DeviceDraw { lighting, erased: Rectangle { left, top, width, height }, noise_offset } =
        draws()[image];
    let within = |place: usize, first: u32, count: u32| (first..first + count).contains(&(place as u32));
    match work.erasing {
        Some(value) if within(column, left, width) && within(row, top, height) => match value {
            ErasedValue::Zero => 0.0,
            ErasedValue::Noise => {
                let place = (channel * SHAPE.height + row) * SHAPE.width + column;
                f64::from(table[(noise_offset as usize + place) % NOISE_LEN])
            }
        },
        _ => {
            let place = image * BYTES + (row * SHAPE.width + column) * SHAPE.channels + channel;
            let added = if work.lighting { f64::from(lighting[channel]) } else { 0.0 };
            ((place * 37 % 256) as f64 / 255.0 + added - mean[channel]) / std[channel]
        }
    }
}

#[test]
fn every_value_follows_the_definition() {
    let table = noise_table();
    for lighting in [false, true] {
        for erasing in [None, Some(ErasedValue::Zero), Some(ErasedValue::Noise)] {
            let work = DeviceWork { lighting, erasing };
            let (images, labels) = prepared(draws(), work);
            assert_eq!(labels, [41, 42, 43]);
            let places = (0..IMAGES).flat_map(|image| {
                let rows = (0..SHAPE.channels).flat_map(|c| (0..SHAPE.height).map(move |r| (c, r)));
                rows.flat_map(move |(c, r)| (0..SHAPE.width).map(move |w| (image, [c, r, w])))
            });
            for (found, (image, place)) in images.iter().zip(places) {
                let expected = expected(image, place, work, &table);
                assert!((found - expected).abs() < 1e-12, "{work:?} {image} {place:?}: {found} {expected}");
            }
        }
    }
}

#[test]
fn empty_draws_change_no_bit() {
    let none = [DeviceDraw::default(); IMAGES];
    let plain = prepared(none, DeviceWork::default()).0;
    for erasing in [ErasedValue::Zero, ErasedValue::Noise] {
        let work = DeviceWork { lighting: true, erasing: Some(erasing) };
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&prepared(none, work).0), bits(&plain));
    }
}
