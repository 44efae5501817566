//! Damaged files are errors or images: no panic, no hang.

use std::time::{Duration, Instant};

use regatta_image::{Decoder, Format, ImageError, JpegMode, Region, Size, encode_jpeg, encode_png};

const SIZE: Size = Size { width: 97, height: 71 };

/// Numbers from a linear congruential generator.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

fn files() -> Vec<Vec<u8>> {
    let mut numbers = Numbers(5);
    let pixels: Vec<u8> = (0..97 * 71 * 3).map(|at| (at / 7 % 200 + numbers.below(40)) as u8).collect();
    vec![encode_jpeg(&pixels, SIZE, 90).unwrap(), encode_png(&pixels, SIZE).unwrap(), WEBP.to_vec()]
}

/// A lossless WebP of 16x16 random pixels.
const WEBP: &[u8] = include_bytes!("noise.webp");

/// Every result is fine but a panic; the decoder works afterwards.
fn decode_all(decoder: &mut Decoder, bytes: &[u8]) -> [Result<Size, ImageError>; 2] {
    let region = Region { left: 1, top: 2, width: 2, height: 2 };
    let target = Size { width: 1, height: 1 };
    let mut pixels = Vec::new();
    let complete = decoder.decode(bytes, None, JpegMode::Exact, None, &mut pixels);
    [complete, decoder.decode(bytes, Some(region), JpegMode::Fast, Some(target), &mut pixels)]
}

#[test]
fn truncated_files_are_errors() {
    let mut decoder = Decoder::new();
    for bytes in files() {
        let format = Format::of(&bytes).unwrap();
        for length in (13..bytes.len() - 20).step_by(97) {
            let [complete, _] = decode_all(&mut decoder, &bytes[..length]);
            assert!(complete.is_err(), "{format}: {length} of {} bytes", bytes.len());
        }
        assert!(decode_all(&mut decoder, &bytes).iter().all(Result::is_ok), "{format}");
    }
}

#[test]
fn flipped_bits_do_no_harm() {
    let mut decoder = Decoder::new();
    let mut numbers = Numbers(11);
    let mut failed = 0;
    for bytes in files() {
        let start = Instant::now();
        for _ in 0..1500 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + numbers.below(4) {
                let at = numbers.below(damaged.len());
                damaged[at] ^= 1 << numbers.below(8);
            }
            failed += decode_all(&mut decoder, &damaged).iter().filter(|result| result.is_err()).count();
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{}", Format::of(&bytes).unwrap());
        assert!(decode_all(&mut decoder, &bytes).iter().all(Result::is_ok));
    }
    assert!(failed > 500, "only {failed} of 9000 decodes found damage");
}

/// The first bytes of a file of each format, and then noise. To WebP's lossless coding, which has no checksums, noise is an image.
#[test]
fn noise_is_refused() {
    let mut decoder = Decoder::new();
    let mut numbers = Numbers(3);
    for bytes in files() {
        for kept in [12, 24, 33, 64, 200] {
            let mut noise = bytes[..kept.min(bytes.len())].to_vec();
            noise.extend((0..2000).map(|_| numbers.below(256) as u8));
            let [complete, _] = decode_all(&mut decoder, &noise);
            let format = Format::of(&bytes).unwrap();
            assert!(complete.is_err() || format == Format::WebP, "{format} after {kept}");
        }
    }
}

/// Sizes in headers without the pixels that they announce.
#[test]
fn announced_sizes_are_checked_first() {
    let png = |width: u32, height: u32| {
        let mut bytes = encode_png(&[0; 3], Size { width: 1, height: 1 }).unwrap();
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        Decoder::new().header(&bytes).unwrap_err()
    };
    let size = |width, height| Size { width, height };
    assert_eq!(png(0, 0), ImageError::NoPixels(size(0, 0)));
    assert_eq!(png(65500, 65500), ImageError::TooLarge(size(65500, 65500)));
    assert_eq!(png(u32::MAX, u32::MAX), ImageError::TooLarge(size(u32::MAX, u32::MAX)));
    let error = png(178_956_970, 2);
    assert_eq!(error.to_string(), "image of 178956970x2 has more than 178956970 pixels");
}

/// A size that the format cannot store is an error, not an image.
#[test]
fn impossible_sizes_are_not_encoded() {
    let check = |result: Result<Vec<u8>, ImageError>, expected: &str| {
        assert_eq!(result.unwrap_err().to_string(), expected);
    };
    let wide = Size { width: 70_000, height: 1 };
    check(
        encode_jpeg(&vec![0; 210_000], wide, 90),
        "cannot be encoded as JPEG: Maximum supported image dimension is 65500 pixels",
    );
    let none = Size { width: 0, height: 4 };
    check(encode_jpeg(&[], none, 90), "cannot be encoded as JPEG: Empty JPEG image (DNL not supported)");
    check(encode_png(&[], none), "cannot be encoded as PNG: Zero width not allowed");
}

/// PNG keeps every byte, JPEG nearly.
#[test]
fn what_is_encoded_can_be_decoded() {
    let size = Size { width: 40, height: 30 };
    let pixels: Vec<u8> = (0..40 * 30 * 3).map(|at| (at / 30) as u8 / 2 + 60).collect();
    let mut decoded = Vec::new();
    let mut decode = |bytes: Vec<u8>| {
        Decoder::new().decode(&bytes, None, JpegMode::Exact, None, &mut decoded).unwrap();
        decoded.iter().zip(&pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
    };
    assert_eq!(decode(encode_png(&pixels, size).unwrap()), 0);
    assert!(decode(encode_jpeg(&pixels, size, 95).unwrap()) <= 8);
}
