//! Which pixels of an image are needed to compute a part of it that is resized.

use regatta_image::{Filter, Region, Size, Window};

/// Largest image that is resized as a whole, in pixels of the resized image. The weights of a whole image are rounded as in
/// torchvision, which differs by up to 2 of 255 from those of a part.
const MOST_RESIZED_PIXELS: u64 = 1 << 24;

/// What is decoded of an image, and resized of that, to get a part of the resized image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct View {
    /// The part of the resized image that is computed.
    pub(crate) part: Region,
    /// The pixels that the filter sees. Their first column and row are multiples of 8, so that a reduced decode begins there too.
    pub(crate) region: Region,
    /// The part of the region that is resized.
    window: Window,
}

impl View {
    /// Returns what is needed of an image of `size` that is resized to `resized` to compute `kept`, which is computed alone only
    /// where the whole is too large.
    pub(crate) fn new(size: Size, resized: Size, kept: Region, filter: Filter, antialias: bool) -> Self {
        let is_ordinary = u64::from(resized.width) * u64::from(resized.height) <= MOST_RESIZED_PIXELS;
        let whole = |size: Size| Region { left: 0, top: 0, width: size.width, height: size.height };
        if is_ordinary {
            let window = Window { left: 0.0, top: 0.0, width: size.width.into(), height: size.height.into() };
            return Self { part: whole(resized), region: whole(size), window };
        }
        let of = |size, resized, kept, count| Needed::new(size, resized, (kept, count), filter, antialias);
        let columns = of(size.width, resized.width, kept.left, kept.width);
        let rows = of(size.height, resized.height, kept.top, kept.height);
        Self {
            part: kept,
            region: Region { left: columns.first, top: rows.first, width: columns.count, height: rows.count },
            window: Window {
                left: columns.begin,
                top: rows.begin,
                width: columns.length,
                height: rows.length,
            },
        }
    }

    /// Returns the window in the region as it was decoded, perhaps at a half, a quarter or an eighth of its size.
    pub(crate) fn window(&self, decoded: Size) -> Window {
        let is_reduced_by = |&factor: &u32| {
            let reduced = |pixels: u32| pixels.div_ceil(factor);
            (reduced(self.region.width), reduced(self.region.height)) == (decoded.width, decoded.height)
        };
        let factor = f64::from([1, 2, 4, 8].into_iter().find(is_reduced_by).unwrap_or(1));
        let Window { left, top, width, height } = self.window;
        let (left, top) = (left / factor, top / factor);
        let within = |first: f64, length: f64, limit: u32| (length / factor).min(f64::from(limit) - first);
        let (width, height) = (within(left, width, decoded.width), within(top, height, decoded.height));
        Window { left, top, width, height }
    }
}

/// What is needed of a row or column.
struct Needed {
    /// The first pixel that the filter sees.
    first: u32,
    /// Number of pixels that it sees.
    count: u32,
    /// Where the window begins, counted from the first pixel.
    begin: f64,
    /// Length of the window in pixels.
    length: f64,
}

impl Needed {
    /// Returns what is needed of `size` pixels, resized to `resized`, to compute `count` pixels from `kept` on.
    fn new(size: u32, resized: u32, (kept, count): (u32, u32), filter: Filter, antialias: bool) -> Self {
        let scale = f64::from(size) / f64::from(resized);
        let (begin, length) = (f64::from(kept) * scale, f64::from(count) * scale);
        // One more, since positions are rounded.
        let margin = filter.radius() * if antialias { scale.max(1.0) } else { 1.0 } + 1.0;
        let first = (begin - margin).max(0.0) as u32 / 8 * 8;
        let end = ((begin + length + margin).ceil() as u32).min(size);
        let (count, begin) = (end - first, begin - f64::from(first));
        Self { first, count, begin, length: length.min(f64::from(count) - begin) }
    }
}
