//! Reads a whole split and reports what is in it: counts, sizes, colours, and every image that cannot be read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use regatta_image::{Decoder, JpegMode};
use serde::Serialize;

use crate::error::DataError;
use crate::source::{Encoding, Source};

/// What a split contains.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SplitReport {
    /// Number of images.
    pub images: usize,
    /// Number of bytes as stored.
    pub bytes: u64,
    /// Number of images of each class, in the order of labels.
    pub classes: Vec<ClassCount>,
    /// Smallest width and height, in pixels, over the images that can be read.
    pub smallest_px: [u32; 2],
    /// Largest width and height, in pixels.
    pub largest_px: [u32; 2],
    /// Mean of all pixels by channel, on the scale 0 to 1.
    pub mean: Vec<f64>,
    /// Standard deviation of all pixels by channel, on the scale 0 to 1.
    pub std: Vec<f64>,
    /// Images that cannot be read, in their order.
    pub bad: Vec<UnreadableImage>,
}

/// Number of images of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// The class's name, or its label if it has no name.
    pub name: String,
    /// Number of images.
    pub images: usize,
}

/// An image that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableImage {
    /// The image's number in the split, counted from 0.
    pub index: usize,
    /// The image's file or place.
    pub name: String,
    /// Why it cannot be read.
    pub problem: String,
}

/// Reads and decodes every image of `source` on `threads` threads; `progress` is called after each with the number read.
///
/// The result does not depend on the number of threads.
///
/// # Panics
/// If `threads` is 0.
pub fn check(source: &dyn Source, threads: usize, progress: &(dyn Fn(usize) + Sync)) -> SplitReport {
    assert!(threads > 0, "at least one thread reads");
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let worker = || {
        let mut part = Part::new(source);
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= source.len() {
                return part;
            }
            part.read(index);
            progress(1 + done.fetch_add(1, Ordering::Relaxed));
        }
    };
    let parts: Vec<Part> = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        // A worker that panicked makes this thread panic too: a programmer's mistake.
        handles.into_iter().map(|handle| handle.join().expect("a worker ends by itself")).collect()
    });
    parts.into_iter().reduce(Part::merge).expect("at least one worker").report()
}

/// What one worker has read. Integers only, so that sums do not depend on their order.
struct Part<'a> {
    source: &'a dyn Source,
    decoder: Decoder,
    stored: Vec<u8>,
    pixels: Vec<u8>,
    bytes: u64,
    images_by_class: Vec<usize>,
    smallest_px: [u32; 2],
    largest_px: [u32; 2],
    pixels_read: u64,
    sums: Vec<u64>,
    sums_of_squares: Vec<u64>,
    bad: Vec<UnreadableImage>,
}

impl<'a> Part<'a> {
    fn new(source: &'a dyn Source) -> Self {
        let channels = source.encoding().channels();
        Self {
            source,
            decoder: Decoder::new(),
            stored: Vec::new(),
            pixels: Vec::new(),
            bytes: 0,
            images_by_class: vec![0; source.classes()],
            smallest_px: [u32::MAX; 2],
            largest_px: [0; 2],
            pixels_read: 0,
            sums: vec![0; channels],
            sums_of_squares: vec![0; channels],
            bad: Vec::new(),
        }
    }

    fn read(&mut self, index: usize) {
        match self.decode(index) {
            Ok((label, size_px)) => self.add(label, size_px),
            Err(error) => {
                let problem = error.with_causes();
                self.bad.push(UnreadableImage { index, name: self.source.name(index), problem });
            }
        }
    }

    /// Decodes a whole image and returns its label, width and height.
    fn decode(&mut self, index: usize) -> Result<(usize, [u32; 2]), DataError> {
        let label = self.source.fetch(index, &mut self.stored)?;
        self.bytes += self.stored.len() as u64;
        let size_px = match self.source.encoding() {
            Encoding::Pixels(shape) => {
                if self.stored.len() != shape.bytes() {
                    return Err(DataError::WrongSize { shape, found: self.stored.len() });
                }
                self.pixels.clone_from(&self.stored);
                [shape.width as u32, shape.height as u32]
            }
            Encoding::Compressed => {
                let size =
                    self.decoder.decode(&self.stored, None, JpegMode::Exact, None, &mut self.pixels)?;
                [size.width, size.height]
            }
        };
        Ok((label as usize, size_px))
    }

    fn add(&mut self, label: usize, size_px: [u32; 2]) {
        self.images_by_class[label] += 1;
        for (axis, px) in size_px.into_iter().enumerate() {
            self.smallest_px[axis] = self.smallest_px[axis].min(px);
            self.largest_px[axis] = self.largest_px[axis].max(px);
        }
        let channels = self.sums.len();
        self.pixels_read += (self.pixels.len() / channels) as u64;
        for pixel in self.pixels.chunks_exact(channels) {
            for (channel, &value) in pixel.iter().enumerate() {
                let value = u64::from(value);
                self.sums[channel] += value;
                self.sums_of_squares[channel] += value * value;
            }
        }
    }

    fn merge(mut self, other: Self) -> Self {
        self.bytes += other.bytes;
        self.pixels_read += other.pixels_read;
        let add = |own: &mut u64, other: &u64| *own += other;
        self.sums.iter_mut().zip(&other.sums).for_each(|(own, other)| add(own, other));
        self.sums_of_squares.iter_mut().zip(&other.sums_of_squares).for_each(|(own, other)| add(own, other));
        self.images_by_class.iter_mut().zip(&other.images_by_class).for_each(|(own, other)| *own += other);
        for axis in 0..2 {
            self.smallest_px[axis] = self.smallest_px[axis].min(other.smallest_px[axis]);
            self.largest_px[axis] = self.largest_px[axis].max(other.largest_px[axis]);
        }
        self.bad.extend(other.bad);
        self
    }

    fn report(mut self) -> SplitReport {
        self.bad.sort_by_key(|image| image.index);
        let names = self.source.class_names().unwrap_or_default();
        let class = |(label, images): (usize, usize)| {
            let name = names.get(label).cloned().unwrap_or_else(|| label.to_string());
            ClassCount { name, images }
        };
        let pixels = self.pixels_read.max(1) as f64;
        let mean: Vec<f64> = self.sums.iter().map(|&sum| sum as f64 / pixels / 255.0).collect();
        let variance =
            |(&squares, mean): (&u64, &f64)| squares as f64 / pixels / (255.0 * 255.0) - mean * mean;
        let std = self.sums_of_squares.iter().zip(&mean).map(variance).map(|it| it.max(0.0).sqrt()).collect();
        let smallest_px = if self.pixels_read == 0 { [0; 2] } else { self.smallest_px };
        SplitReport {
            images: self.source.len(),
            bytes: self.bytes,
            classes: self.images_by_class.into_iter().enumerate().map(class).collect(),
            smallest_px,
            largest_px: self.largest_px,
            mean,
            std,
            bad: self.bad,
        }
    }
}
