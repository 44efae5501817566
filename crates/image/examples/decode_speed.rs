//! Images a second of one thread over a folder: random resized crop to 224 as the training transform does it.
//!
//!     cargo run --release -p regatta-image --example decode_speed -- FOLDER [ROUNDS [exact|fast]]

use std::time::{Duration, Instant};

use regatta_image::{Decoder, Filter, JpegMode, Region, Resizer, Size};

const TARGET: Size = Size { width: 224, height: 224 };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: decode_speed FOLDER [ROUNDS [exact|fast]]")?;
    let rounds: u32 = arguments.next().map_or(Ok(3), |rounds| rounds.parse())?;
    let only = arguments.next();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        files.push(std::fs::read(entry?.path())?);
    }
    for (name, mode) in [("exact", JpegMode::Exact), ("fast", JpegMode::Fast)] {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let mut rates: Vec<_> = Vec::new();
        let (mut decoding, mut resizing) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..rounds {
            let start = Instant::now();
            let (decode, resize) = run(&files, mode)?;
            decoding += decode;
            resizing += resize;
            rates.push(files.len() as f64 / start.elapsed().as_secs_f64());
        }
        rates.sort_by(f64::total_cmp);
        let share = resizing.as_secs_f64() / (decoding + resizing).as_secs_f64();
        println!("{name}: {:.0} images/s (resizing {:.0} %)", rates[rates.len() / 2], share * 100.0);
    }
    Ok(())
}

/// Time spent decoding and resizing all files.
fn run(files: &[Vec<u8>], mode: JpegMode) -> Result<(Duration, Duration), regatta_image::ImageError> {
    let (mut decoder, mut resizer) = (Decoder::new(), Resizer::new());
    let (mut decoding, mut resizing) = (Duration::ZERO, Duration::ZERO);
    let (mut rgb, mut target) = (Vec::new(), vec![0; 224 * 224 * 3]);
    let mut state = 1;
    for bytes in files {
        let start = Instant::now();
        let region = random_region(decoder.header(bytes)?.size, &mut state);
        let size = decoder.decode(bytes, Some(region), mode, Some(TARGET), &mut rgb)?;
        decoding += start.elapsed();
        let start = Instant::now();
        resizer.resize(&rgb, size, Filter::Bilinear, true, &mut target, TARGET);
        resizing += start.elapsed();
    }
    Ok((decoding, resizing))
}

/// Torchvision's random resized crop with its default scale (0.08 to 1) and ratio (3/4 to 4/3).
fn random_region(size: Size, state: &mut u32) -> Region {
    let mut uniform = || {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(*state >> 8) / f64::from(1 << 24)
    };
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    for _ in 0..10 {
        let area = width * height * (0.08 + 0.92 * uniform());
        let ratio = (0.75_f64.ln() * (1.0 - 2.0 * uniform())).exp();
        let (w, h) = ((area * ratio).sqrt(), (area / ratio).sqrt());
        if w <= width && h <= height {
            let (left, top) = ((width - w) * uniform(), (height - h) * uniform());
            return Region { left: left as u32, top: top as u32, width: w as u32, height: h as u32 };
        }
    }
    let side = size.width.min(size.height);
    Region { left: (size.width - side) / 2, top: (size.height - side) / 2, width: side, height: side }
}
