//! A micro-batch as bytes, in a caller's buffer.

use crate::augment::Augment;
use crate::dataset::Dataset;

/// Puts the images `indices` of `dataset` into `images_nhwc`, each augmented as its epoch says where `augment` is given:
/// bytes as stored, image by image, row by row, channels innermost. Returns one class per image.
///
/// # Panics
/// If an index is not below the data set's length, or the buffer is not as long as the images.
pub fn fill_batch(
    dataset: &dyn Dataset,
    indices: &[usize],
    augment: Option<(&Augment, u64)>,
    images_nhwc: &mut [u8],
) -> Vec<i64> {
    let shape = dataset.shape();
    assert_eq!(images_nhwc.len(), indices.len() * shape.bytes(), "a buffer as long as its images");
    let augment = augment.filter(|(augment, _)| !augment.is_identity());
    let read = |(&index, pixels_hwc): (&usize, &mut [u8])| {
        let label = dataset.read(index, pixels_hwc);
        if let Some((augment, epoch)) = augment {
            augment.apply(epoch, index, shape, pixels_hwc);
        }
        label
    };
    indices.iter().zip(images_nhwc.chunks_exact_mut(shape.bytes())).map(read).collect()
}
