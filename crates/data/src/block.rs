//! The layout of a micro-batch in memory: labels, then what the device has to do to each image, then pixels.

use crate::device_draw::DeviceDraw;
use crate::images::Labelled;
use crate::source::ImageShape;

/// Bytes of a label.
pub const LABEL_BYTES: usize = size_of::<i64>();
/// Bytes of an image's [`DeviceDraw::record`].
pub const DRAW_BYTES: usize = DeviceDraw::VALUES * size_of::<f32>();

/// Blocks beyond those that are loaded ahead: the one in use and the one being copied to the device.
const BLOCKS_IN_USE: usize = 2;

/// Returns the bytes before the pixels of `images` images.
pub fn header_bytes(images: usize) -> usize {
    images.saturating_mul(LABEL_BYTES + DRAW_BYTES)
}

/// Returns the bytes of a block of `images` images.
pub fn block_bytes(images: usize, shape: ImageShape) -> usize {
    header_bytes(images).saturating_add(images.saturating_mul(shape.bytes()))
}

/// Writes labels and draws to the beginning of a block.
///
/// # Panics
/// If the block is shorter.
pub fn write_header(block: &mut [u8], labelled: &[Labelled]) {
    let (labels, rest) = block.split_at_mut(labelled.len() * LABEL_BYTES);
    for (place, Labelled { label, .. }) in labels.chunks_exact_mut(LABEL_BYTES).zip(labelled) {
        place.copy_from_slice(&label.to_ne_bytes());
    }
    let values = labelled.iter().flat_map(|Labelled { draw, .. }| draw.record());
    let draws = &mut rest[..labelled.len() * DRAW_BYTES];
    for (place, value) in draws.chunks_exact_mut(size_of::<f32>()).zip(values) {
        place.copy_from_slice(&value.to_ne_bytes());
    }
}

/// Returns the largest number of bytes that a loader's blocks take on the host, where the largest micro-batch has `images`
/// images of `shape`.
pub fn loader_bytes(prefetch_batches: usize, images: usize, shape: ImageShape) -> u64 {
    (block_bytes(images, shape) as u64).saturating_mul((prefetch_batches + BLOCKS_IN_USE) as u64)
}
