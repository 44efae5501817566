//! Images of all formats decode to torchvision's and Pillow's pixels.

use regatta_image::{Decoder, Format, ImageError, JpegMode, Region, Size};

use crate::reference::{cases, difference};

/// JPEGs are compared with torchvision, the others with Pillow.
#[test]
fn pixels_are_those_of_torchvision_and_pillow() {
    let folder = tempfile::tempdir().unwrap();
    let Some(cases) = cases("formats.py", folder.path()) else { return };
    let read = |name: &str, kind: &str| std::fs::read(folder.path().join(format!("{name}.{kind}"))).unwrap();
    let mut decoder = Decoder::new();
    let mut failures = String::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let number = |key: &str| u32::try_from(case[key].as_u64().unwrap()).unwrap();
        let size = Size { width: number("width"), height: number("height") };
        let bytes = read(name, "file");
        let theirs = read(name, "rgb");
        let mut ours = Vec::new();
        assert_eq!(decoder.header(&bytes).unwrap().size, size, "{name}");
        match decoder.decode(&bytes, None, JpegMode::Exact, None, &mut ours) {
            Ok(decoded) => assert_eq!(decoded, size, "{name}"),
            Err(error) => failures += &format!("{name}: {error}\n"),
        }
        if ours.len() != theirs.len() {
            continue;
        }
        let (count, largest) = difference(&ours, &theirs);
        if count > 0 {
            failures += &format!("{name}: {count} of {} bytes differ, by up to {largest}\n", ours.len());
        }
        if let Err(error) = check_region(&mut decoder, &bytes, &ours, size) {
            failures += &format!("{name}: a region: {error}\n");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// A region has the pixels that it has in the complete image.
fn check_region(decoder: &mut Decoder, bytes: &[u8], complete: &[u8], size: Size) -> Result<(), ImageError> {
    let region = Region {
        left: size.width / 3,
        top: size.height / 4,
        width: size.width.div_ceil(2),
        height: size.height.div_ceil(2),
    };
    let mut part = Vec::new();
    decoder.decode(bytes, Some(region), JpegMode::Exact, None, &mut part)?;
    assert!(part == cut(complete, size, region), "{region:?} of {size:?}");
    Ok(())
}

/// The pixels of a region of an RGB image.
pub(crate) fn cut(pixels: &[u8], size: Size, region: Region) -> Vec<u8> {
    let rows = pixels.chunks_exact(size.width as usize * 3);
    let rows = rows.skip(region.top as usize).take(region.height as usize);
    rows.flat_map(|row| &row[region.left as usize * 3..][..region.width as usize * 3]).copied().collect()
}

/// The message names what the bytes are.
#[test]
fn other_formats_are_refused() {
    let check = |bytes: &[u8], expected: &str| {
        let error = Decoder::new().header(bytes).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(b"", "the file is empty");
    check(b"GIF89a\x01\0", "expected JPEG, PNG or WebP, found GIF");
    check(b"BM\x36\0\0\0", "expected JPEG, PNG or WebP, found BMP");
    check(b"\0\0\0\x20ftypavif", "expected JPEG, PNG or WebP, found HEIF (avif)");
    check(b"<html>\n", "expected JPEG, PNG or WebP, found text that begins with \"<html>\\n\"");
    check(b"\x00\x01\xff", "expected JPEG, PNG or WebP, found bytes that begin with 00 01 ff");
    check(b"\xff", "expected JPEG, PNG or WebP, found bytes that begin with ff");
    check(b"\xff\xd8", "JPEG file ends before the image does");
    check(b"\x89PNG\r\n\x1a\n", "PNG file ends before the image does");
    check(b"RIFF\x10\0\0\0WEBP", "WebP file ends before the image does");
}

/// Without pixels, without an end, or outside of the image.
#[test]
fn formats_and_regions_are_checked() {
    let size = Size { width: 9, height: 5 };
    let bytes = regatta_image::encode_png(&[7; 9 * 5 * 3], size).unwrap();
    let mut decoder = Decoder::new();
    assert_eq!(decoder.header(&bytes).unwrap().format, Format::Png);
    let inside = Region { left: 8, top: 4, width: 1, height: 1 };
    let outside = [
        Region { width: 2, ..inside },
        Region { height: 2, ..inside },
        Region { width: 0, ..inside },
        Region { left: u32::MAX, ..inside },
    ];
    let jpeg = regatta_image::encode_jpeg(&[7; 9 * 5 * 3], size, 90).unwrap();
    for bytes in [&bytes, &jpeg] {
        let mut decode = |region| decoder.decode(bytes, Some(region), JpegMode::Exact, None, &mut Vec::new());
        assert_eq!(decode(inside), Ok(Size { width: 1, height: 1 }));
        for region in outside {
            assert_eq!(decode(region), Err(ImageError::RegionOutside { region, size }));
        }
    }
}
