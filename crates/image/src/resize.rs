//! Resizing of bytes with the filters of torchvision.

use fast_image_resize as fir;
use fir::images::{TypedImage, TypedImageRef};
use fir::pixels::{U8, U8x3};
use fir::{FilterType, PixelTrait, ResizeAlg, ResizeOptions};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plain_cubic;
use crate::region::Size;

/// The filter that pixels are interpolated with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Linear in each direction.
    Bilinear,
    /// Cubic in each direction, with a = -0.5 if antialiased and -0.75 if not, as in PyTorch.
    Bicubic,
}

impl Filter {
    /// Number of pixels that the filter sees on each side of a position; times the factor by which the image shrinks, if it is
    /// antialiased.
    pub fn radius(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }
}

/// A rectangle of an image whose edges may lie between pixels. Pixel `i` covers the positions from `i` to `i + 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Position of the left edge.
    pub left: f64,
    /// Position of the upper edge.
    pub top: f64,
    /// Distance between the left and right edges.
    pub width: f64,
    /// Distance between the upper and lower edges.
    pub height: f64,
}

impl Window {
    /// The window that is all of an image.
    fn all(size: Size) -> Self {
        Self { left: 0.0, top: 0.0, width: size.width.into(), height: size.height.into() }
    }
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
        self.resize_window(source, (from, Window::all(from)), filter, antialias, target, to);
    }

    /// Resizes a window of `source` to fill `target`. The filter sees the pixels around the window too: the result is a part of
    /// the whole image's, resized by the same factors, up to the rounding of weights.
    ///
    /// # Panics
    ///
    /// As [`resize`](Self::resize), or if the window is empty or not inside the image.
    pub fn resize_window(
        &mut self,
        source: &[u8],
        (from, window): (Size, Window),
        filter: Filter,
        antialias: bool,
        target: &mut [u8],
        to: Size,
    ) {
        let channels = source.len() / from.bytes(1).max(1);
        assert!(matches!(channels, 1 | 3) && source.len() == from.bytes(channels), "pixels of the source");
        assert!(target.len() == to.bytes(channels) && !target.is_empty(), "pixels of the target");
        let pass = Pass { filter, antialias, channels };
        let Window { left, top, width, height } = window;
        // The horizontal pass comes first, as in PyTorch and Pillow: the other order rounds to other bytes.
        let (columns, rows) = (Span { first: left, length: width }, Span { first: top, length: height });
        let middle_size = Size { width: to.width, height: from.height };
        if columns.is_whole(from.width, to.width) {
            self.vertical(pass, source, from, rows, target, to);
        } else if rows.is_whole(from.height, to.height) {
            self.horizontal(pass, source, from, columns, target, to);
        } else {
            let mut middle = std::mem::take(&mut self.middle);
            middle.resize(middle_size.bytes(channels), 0);
            self.horizontal(pass, source, from, columns, &mut middle, middle_size);
            self.vertical(pass, &middle, middle_size, rows, target, to);
            self.middle = middle;
        }
    }

    /// Resizes columns.
    fn horizontal(
        &mut self,
        pass: Pass,
        source: &[u8],
        from: Size,
        columns: Span,
        target: &mut [u8],
        to: Size,
    ) {
        match pass.convolution() {
            None => plain_cubic::horizontal(source, from, columns, target, to.width, pass.channels),
            Some(algorithm) => {
                let options = ResizeOptions::new().resize_alg(algorithm);
                let options = options.crop(columns.first, 0.0, columns.length, from.height.into());
                self.convolve(pass, options, source, from, target, to);
            }
        }
    }

    /// Resizes rows, or copies.
    fn vertical(&mut self, pass: Pass, source: &[u8], from: Size, rows: Span, target: &mut [u8], to: Size) {
        match pass.convolution() {
            _ if rows.is_whole(from.height, to.height) => target.copy_from_slice(source),
            None => plain_cubic::vertical(source, from, rows, target, to.height, pass.channels),
            Some(algorithm) => {
                let options = ResizeOptions::new().resize_alg(algorithm);
                let options = options.crop(0.0, rows.first, from.width.into(), rows.length);
                self.convolve(pass, options, source, from, target, to);
            }
        }
    }

    fn convolve(
        &mut self,
        pass: Pass,
        options: ResizeOptions,
        source: &[u8],
        from: Size,
        target: &mut [u8],
        to: Size,
    ) {
        if pass.channels == 1 {
            self.convolve_pixels::<U8>(options, source, from, target, to);
        } else {
            self.convolve_pixels::<U8x3>(options, source, from, target, to);
        }
    }

    fn convolve_pixels<P: PixelTrait>(
        &mut self,
        options: ResizeOptions,
        source: &[u8],
        from: Size,
        target: &mut [u8],
        to: Size,
    ) {
        let source = TypedImageRef::<P>::from_buffer(from.width, from.height, source);
        let target = TypedImage::<P>::from_buffer(to.width, to.height, target);
        let (source, mut target) = source.ok().zip(target.ok()).expect("slices of their sizes");
        self.resizer.resize_typed(&source, &mut target, &options).expect("a window inside the image");
    }
}

/// The part of a row or column that is resized, in pixels.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) first: f64,
    pub(crate) length: f64,
}

impl Span {
    /// Returns whether resizing `from` pixels to `to` pixels over this span changes nothing.
    fn is_whole(self, from: u32, to: u32) -> bool {
        from == to && self.first == 0.0 && self.length == f64::from(from)
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
