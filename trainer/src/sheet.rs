//! Sheets: images of one size, arranged in rows.

use regatta_data::{ImageShape, Size};

/// Largest number of columns of a sheet.
const COLUMNS: usize = 8;
/// Distance between the images of a sheet, in pixels.
const GAP_PX: usize = 2;

/// Arranges images of `shape`, in RGB, in rows of at most [`COLUMNS`].
pub(crate) fn sheet(shape: ImageShape, tiles: &[Vec<u8>]) -> (Size, Vec<u8>) {
    let columns = tiles.len().min(COLUMNS);
    let rows = tiles.len().div_ceil(columns);
    let side = |count: usize, px: usize| count * (px + GAP_PX) - GAP_PX;
    let (width, height) = (side(columns, shape.width), side(rows, shape.height));
    let mut rgb = vec![255; 3 * width * height];
    for (place, tile) in tiles.iter().enumerate() {
        let (left, top) =
            (place % columns * (shape.width + GAP_PX), place / columns * (shape.height + GAP_PX));
        for (y, row) in tile.chunks_exact(3 * shape.width).enumerate() {
            let start = 3 * ((top + y) * width + left);
            rgb[start..start + row.len()].copy_from_slice(row);
        }
    }
    (Size { width: width as u32, height: height as u32 }, rgb)
}
