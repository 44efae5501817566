//! Resizing of bytes with the filters of torchvision.

use fast_image_resize as fir;
use fir::images::{TypedImage, TypedImageRef};
use fir::pixels::{U8, U8x3};
use fir::{FilterType, PixelTrait, ResizeAlg, ResizeOptions};

use crate::plain_cubic;
use crate::region::Size;

/// The filter that pixels are interpolated with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Linear in each direction.
    Bilinear,
    /// Cubic in each direction, with a = -0.5 if antialiased and -0.75 if not, as in PyTorch.
    Bicubic,
}

/// Resizes images of bytes; one for each thread.
#[derive(Default)]
pub struct Resizer {
    resizer: fir::Resizer,
    /// The image after the horizontal pass.
    middle: Vec<u8>,
}

impl Resizer {
    /// A resizer that holds no image memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Resizes `source` to fill `target`, as torchvision's `v2.functional.resize` does on bytes. Both have 1 or 3 channels,
    /// innermost.
    ///
    /// With `antialias`, the filter grows with the factor by which the image shrinks; without, it sees two (bilinear) or four
    /// (bicubic) pixels in each direction.
    ///
    /// # Panics
    ///
    /// If a size is 0, or a slice does not have the pixels of its size in 1 or 3 channels.
    pub fn resize(
        &mut self,
        source: &[u8],
        from: Size,
        filter: Filter,
        antialias: bool,
        target: &mut [u8],
        to: Size,
    ) {
        let channels = source.len() / from.bytes(1).max(1);
        assert!(matches!(channels, 1 | 3) && source.len() == from.bytes(channels), "pixels of the source");
        assert!(target.len() == to.bytes(channels) && !target.is_empty(), "pixels of the target");
        let pass = Pass { filter, antialias, channels };
        // The horizontal pass comes first, as in PyTorch and Pillow: the other order rounds to other bytes.
        if from.width == to.width || from.height == to.height {
            self.run(pass, source, from, target, to);
        } else {
            let size = Size { width: to.width, height: from.height };
            let mut middle = std::mem::take(&mut self.middle);
            middle.resize(size.bytes(channels), 0);
            self.run(pass, source, from, &mut middle, size);
            self.run(pass, &middle, size, target, to);
            self.middle = middle;
        }
    }

    /// Resizes in one direction, or copies.
    fn run(&mut self, pass: Pass, source: &[u8], from: Size, target: &mut [u8], to: Size) {
        match pass.convolution() {
            _ if from == to => target.copy_from_slice(source),
            None => plain_cubic::resize(source, from, target, to, pass.channels),
            Some(algorithm) if pass.channels == 1 => self.convolve::<U8>(algorithm, source, from, target, to),
            Some(algorithm) => self.convolve::<U8x3>(algorithm, source, from, target, to),
        }
    }

    fn convolve<P: PixelTrait>(
        &mut self,
        algorithm: ResizeAlg,
        source: &[u8],
        from: Size,
        target: &mut [u8],
        to: Size,
    ) {
        let source = TypedImageRef::<P>::from_buffer(from.width, from.height, source);
        let target = TypedImage::<P>::from_buffer(to.width, to.height, target);
        let (source, mut target) = source.ok().zip(target.ok()).expect("slices of their sizes");
        let options = ResizeOptions::new().resize_alg(algorithm);
        self.resizer.resize_typed(&source, &mut target, &options).expect("sizes above 0");
    }
}

/// What the passes of a resize have in common.
#[derive(Clone, Copy)]
struct Pass {
    filter: Filter,
    antialias: bool,
    channels: usize,
}

impl Pass {
    /// The algorithm of fast_image_resize that gives PyTorch's bytes, if there is one.
    fn convolution(self) -> Option<ResizeAlg> {
        match (self.filter, self.antialias) {
            (Filter::Bilinear, true) => Some(ResizeAlg::Convolution(FilterType::Bilinear)),
            (Filter::Bicubic, true) => Some(ResizeAlg::Convolution(FilterType::CatmullRom)),
            (Filter::Bilinear, false) => Some(ResizeAlg::Interpolation(FilterType::Bilinear)),
            (Filter::Bicubic, false) => None,
        }
    }
}
