//! A region of a JPEG has the very bytes of a complete decode, and damage is an error.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

use std::path::PathBuf;

use proptest::prelude::*;

use super::{JpegDecoder, Kind, encode};
use crate::decoder::JpegMode;
use crate::error::ImageError;
use crate::format::Format;
use crate::region::{Region, Size};

/// 4:4:4, 4:2:2, 4:2:0, 4:4:0, 4:1:1 and grayscale.
const SAMPLINGS: [(i32, i32); 6] = [(1, 1), (2, 1), (2, 2), (1, 2), (4, 1), (0, 0)];

/// A picture with edges and noise, the same for the same size.
fn picture(size: Size) -> Vec<u8> {
    let mut state = 1_u32;
    (0..size.bytes(3))
        .map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (x, y) = (at / 3 % size.width as usize, at / 3 / size.width as usize);
            let wave = (x * (3 + at % 3) + y * 5 + (x / 13 * 90) % 200) % 256;
            (wave as u8 / 2).wrapping_add((state >> 25) as u8)
        })
        .collect()
}

fn jpeg(size: Size, (horizontal, vertical): (i32, i32), progressive: bool) -> Vec<u8> {
    let kind = Kind { quality: 85, horizontal, vertical, progressive: progressive.into() };
    encode(&picture(size), size, kind).unwrap()
}

fn decode(bytes: &[u8], region: Option<Region>) -> Result<(Size, Vec<u8>), ImageError> {
    let mut rgb = Vec::new();
    let size = JpegDecoder::new().decode(bytes, region, JpegMode::Exact, None, &mut rgb)?;
    Ok((size, rgb))
}

/// Columns and rows of an image, as fractions of it.
fn region(size: Size, [left, top, width, height]: [f64; 4]) -> Region {
    let span = |first: f64, length: f64, limit: u32| {
        let first = (first * f64::from(limit)) as u32;
        (first, 1 + (length * f64::from(limit - first - 1)).ceil() as u32)
    };
    let ((left, width), (top, height)) = (span(left, width, size.width), span(top, height, size.height));
    Region { left, top, width, height }
}

fn assert_region_is_exact(
    decoder: &mut JpegDecoder,
    bytes: &[u8],
    complete: &(Size, Vec<u8>),
    region: Region,
) {
    let (size, pixels) = complete;
    let mut part = Vec::new();
    let decoded = decoder.decode(bytes, Some(region), JpegMode::Exact, None, &mut part).unwrap();
    assert_eq!(decoded, region.size());
    let rows = pixels.chunks_exact(size.width as usize * 3);
    let rows = rows.skip(region.top as usize).take(region.height as usize);
    let expected = rows.map(|row| &row[region.left as usize * 3..][..region.width as usize * 3]);
    let equal = part.chunks_exact(region.width as usize * 3).eq(expected);
    assert!(equal, "{region:?} of {size:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_region_equals_the_complete_decode(
        width in prop_oneof![1_u32..40, 40_u32..300],
        height in prop_oneof![1_u32..40, 40_u32..300],
        sampling in prop::sample::select(&SAMPLINGS),
        progressive: bool,
        part in prop::array::uniform4(0.0..1.0_f64),
    ) {
        let size = Size { width, height };
        let bytes = jpeg(size, sampling, progressive);
        let complete = decode(&bytes, None).unwrap();
        prop_assert_eq!(complete.0, size);
        assert_region_is_exact(&mut JpegDecoder::new(), &bytes, &complete, region(size, part));
    }
}

/// Real photos of many encoders, with one decoder for all.
#[test]
fn regions_of_photos_equal_the_complete_decode() {
    let Some(folder) = std::env::var_os("REGATTA_TEST_PHOTOS").map(PathBuf::from) else {
        println!("skipped: REGATTA_TEST_PHOTOS is not set");
        return;
    };
    let mut decoder = JpegDecoder::new();
    let mut state = 7_u32;
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let complete = decode(&bytes, None).unwrap();
        for _ in 0..4 {
            let part = [(); 4].map(|()| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f64::from(state >> 8) / f64::from(1 << 24)
            });
            assert_region_is_exact(&mut decoder, &bytes, &complete, region(complete.0, part));
        }
    }
}

/// The fast mode never goes below the target, and is close to the exact pixels where it does not scale.
#[test]
fn fast_decodes_at_the_scale_that_suffices() {
    let size = Size { width: 203, height: 149 };
    let bytes = jpeg(size, (2, 2), false);
    let check = |region: Option<Region>, target: Option<(u32, u32)>, expected: (u32, u32)| {
        let target = target.map(|(width, height)| Size { width, height });
        let mut rgb = Vec::new();
        let decoded = JpegDecoder::new().decode(&bytes, region, JpegMode::Fast, target, &mut rgb).unwrap();
        assert_eq!((decoded.width, decoded.height), expected, "{region:?} {target:?}");
        assert_eq!(rgb.len(), decoded.bytes(3));
        rgb
    };
    let all = Some(Region { left: 0, top: 0, width: 203, height: 149 });
    check(None, None, (203, 149));
    check(None, Some((102, 74)), (203, 149));
    check(None, Some((101, 75)), (203, 149));
    check(all, Some((101, 74)), (102, 75));
    check(all, Some((50, 37)), (51, 38));
    check(all, Some((1, 1)), (26, 19));
    check(Some(Region { left: 5, top: 7, width: 101, height: 101 }), Some((50, 50)), (51, 51));
    let exact = decode(&bytes, None).unwrap().1;
    let fast = check(None, None, (203, 149));
    let furthest = exact.iter().zip(&fast).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(furthest <= 16, "{furthest}");
}

/// Whatever is missing above the region's last row is an error; what is missing below it is not read.
#[test]
fn truncated_files_are_errors_where_they_were_needed() {
    let size = Size { width: 160, height: 160 };
    let upper = Region { left: 40, top: 10, width: 60, height: 20 };
    for progressive in [false, true] {
        let bytes = jpeg(size, (2, 2), progressive);
        let expected = decode(&bytes, Some(upper)).unwrap().1;
        for length in (0..bytes.len() - 2).step_by(97) {
            let error = decode(&bytes[..length], None).unwrap_err();
            assert_eq!(error, ImageError::Truncated(Format::Jpeg), "{length} of {}", bytes.len());
        }
        let half = decode(&bytes[..bytes.len() / 2], Some(upper));
        match progressive {
            false => assert!(half.unwrap().1 == expected),
            true => assert_eq!(half, Err(ImageError::Truncated(Format::Jpeg))),
        }
    }
}

/// Announced sizes are refused before anything is allocated for them.
#[test]
fn enormous_sizes_are_refused() {
    let resized = |progressive, width: u16, height: u16| {
        let mut bytes = jpeg(Size { width: 16, height: 16 }, (1, 1), progressive);
        let frame = bytes.windows(2).position(|pair| matches!(pair, [0xff, 0xc0 | 0xc2])).unwrap();
        bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
        bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
        decode(&bytes, Some(Region { left: 0, top: 0, width: 1, height: 1 })).unwrap_err()
    };
    let size = Size { width: 65500, height: 65500 };
    assert_eq!(resized(false, 65500, 65500), ImageError::TooLarge(size));
    assert_eq!(resized(true, 65500, 65500), ImageError::TooLarge(size));
    assert_eq!(resized(true, 14000, 12700), ImageError::TooMuchMemory(Format::Jpeg));
    assert_eq!(resized(false, 0, 9), ImageError::NoPixels(Size { width: 0, height: 0 }));
}

/// A file that repeats a scan a thousand times is refused after the first hundred.
#[test]
fn scans_are_limited() {
    let bytes = jpeg(Size { width: 64, height: 64 }, (0, 0), true);
    let is_scan = |pair: &[u8]| pair == [0xff, 0xda];
    let last = bytes.windows(2).rposition(is_scan).unwrap();
    let mut bomb = bytes[..last].to_vec();
    // One scan of the DC coefficients' lowest bit, with 64 blocks and their 64 bits.
    for _ in 0..1000 {
        bomb.extend_from_slice(&[0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0x10]);
        bomb.extend_from_slice(&[0x55; 8]);
    }
    bomb.extend_from_slice(&[0xff, 0xd9]);
    let error = decode(&bomb, None).unwrap_err();
    assert_eq!(error, ImageError::Corrupt { format: Format::Jpeg, message: "more than 100 scans".into() });
}
