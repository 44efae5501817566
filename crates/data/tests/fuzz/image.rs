//! The target of encoded images: header and decoding, whole and of random regions, in both modes.

use regatta_image::{Decoder, Header, ImageError, JpegMode, Region, Size};
use regatta_random::SplitMix64;

use super::Target;

pub(super) const IMAGE: Target = Target {
    name: "image",
    dictionary: &[
        &[0xff, 0xd8],
        &[0xff, 0xd9],
        &[0xff, 0xc0, 0, 17, 8],
        &[0xff, 0xc2, 0, 17, 8],
        &[0xff, 0xc4],
        &[0xff, 0xda],
        &[0xff, 0xdb],
        &[0xff, 0xdd, 0, 4, 0, 1],
        &[0xff, 0xd0],
        b"\xff\xee\0\x0eAdobe",
        &[0x11],
        &[0x22],
        &[0x41],
        &[0xff, 0xdc],
        b"IHDR",
        b"PLTE",
        b"IDAT",
        b"IEND",
        b"tRNS",
        b"acTL",
        b"fcTL",
        b"fdAT",
        b"iCCP",
        b"VP8 ",
        b"VP8L",
        b"VP8X",
        b"ALPH",
        b"ANIM",
        b"ANMF",
        &[0x9d, 0x01, 0x2a],
    ],
    repair: correct_png,
    mutations: 4000,
    read: |_, bytes| read(bytes),
};

/// A JPEG whose tables are not those of most others.
const OTHER: &[u8] = include_bytes!("seeds/image/gray-progressive.jpg");

/// Images of more pixels are decoded fewer times.
const FEW: u64 = 1 << 20;

fn read(bytes: &[u8]) -> String {
    let mut decoder = Decoder::new();
    let Header { format, size } = match decoder.header(bytes) {
        Ok(header) => header,
        Err(ImageError::Unsupported(_)) => return "another format".to_owned(),
        Err(error) => return error.to_string(),
    };
    let mut random =
        SplitMix64::new(bytes.iter().fold(7, |sum, &byte| sum * 31 % 0xffff_ffff + u64::from(byte)));
    let mut whole = Vec::new();
    let outcome = decoder.decode(bytes, None, JpegMode::Exact, None, &mut whole);
    check(&outcome, &whole, size);
    // Nothing depends on what a decoder has decoded before.
    let other = decoder.decode(OTHER, None, JpegMode::Exact, None, &mut Vec::new());
    assert!(other.is_ok());
    let regions = if u64::from(size.width) * u64::from(size.height) > FEW { 1 } else { 4 };
    for _ in 0..regions {
        let region = region(&mut random, size);
        check_region(&mut decoder, bytes, region, (&outcome, &whole));
        check_fast(&mut decoder, bytes, region, &mut random);
    }
    match outcome {
        Ok(_) => format!("{format} image"),
        Err(error) => error.to_string(),
    }
}

fn check(outcome: &Result<Size, ImageError>, pixels: &[u8], expected: Size) {
    if let Ok(size) = outcome {
        assert_eq!(*size, expected);
        assert_eq!(pixels.len(), 3 * size.width as usize * size.height as usize);
    }
}

/// A region of an image that can be decoded as a whole can be decoded, to the same pixels.
fn check_region(
    decoder: &mut Decoder,
    bytes: &[u8],
    region: Region,
    (outcome, whole): (&Result<Size, ImageError>, &[u8]),
) {
    let mut part = Vec::new();
    let decoded = decoder.decode(bytes, Some(region), JpegMode::Exact, None, &mut part);
    check(&decoded, &part, region.size());
    let Ok(size) = outcome else { return };
    assert_eq!(decoded, Ok(region.size()), "{region:?} of {size:?}");
    let row = |y: u32| (y as usize * size.width as usize + region.left as usize) * 3;
    let rows = (region.top..).map(|y| &whole[row(y)..][..3 * region.width as usize]);
    assert!(
        part.chunks_exact(3 * region.width as usize).zip(rows).all(|(a, b)| a == b),
        "{region:?} of {size:?}"
    );
}

/// In the fast mode the size lies between the target, if that is smaller, and the region.
fn check_fast(decoder: &mut Decoder, bytes: &[u8], region: Region, random: &mut SplitMix64) {
    let target = Size { width: 1 + random.below(40) as u32, height: 1 + random.below(40) as u32 };
    let mut part = Vec::new();
    let decoded = decoder.decode(bytes, Some(region), JpegMode::Fast, Some(target), &mut part);
    let Ok(size) = decoded else { return };
    check(&decoded, &part, size);
    assert!(
        size.width <= region.width && size.width >= region.width.min(target.width),
        "{size:?} of {region:?}"
    );
    assert!(
        size.height <= region.height && size.height >= region.height.min(target.height),
        "{size:?} of {region:?}"
    );
}

fn region(random: &mut SplitMix64, size: Size) -> Region {
    let mut range = |length: u32| {
        let first = random.below(length.into()) as u32;
        (first, 1 + random.below((length - first).into()) as u32)
    };
    let ((left, width), (top, height)) = (range(size.width), range(size.height));
    Region { left, top, width, height }
}

/// Corrects the checksums of a PNG's chunks.
fn correct_png(bytes: &mut [u8]) {
    let mut rest = bytes.get_mut(8..).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk_mut::<4>() {
        let content = 4 + u32::from_be_bytes(*length) as usize;
        let Some((content, after)) = after.split_at_mut_checked(content) else { return };
        let Some((checksum, after)) = after.split_first_chunk_mut::<4>() else { return };
        let mut crc = flate2::Crc::new();
        crc.update(content);
        *checksum = crc.sum().to_be_bytes();
        rest = after;
    }
}
