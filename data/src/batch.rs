//! A micro-batch as bytes, in buffers that its owner uses again and again.

use crate::augment::Augment;
use crate::dataset::Dataset;

/// Images and labels of one micro-batch. Filling it again allocates only if it grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Bytes as stored: image by image, row by row, channels innermost.
    pub images_nhwc: Vec<u8>,
    /// One class per image.
    pub labels: Vec<i64>,
}

/// Puts the images `indices` of `dataset` into `out`, each augmented as its epoch says where `augment` is given.
///
/// # Panics
/// If an index is not below the data set's length.
pub fn fill_batch(
    dataset: &dyn Dataset,
    indices: &[usize],
    augment: Option<(&Augment, u64)>,
    out: &mut Batch,
) {
    let shape = dataset.shape();
    let augment = augment.filter(|(augment, _)| !augment.is_identity());
    out.images_nhwc.resize(indices.len() * shape.bytes(), 0);
    out.labels.clear();
    for (&index, pixels_hwc) in indices.iter().zip(out.images_nhwc.chunks_exact_mut(shape.bytes())) {
        out.labels.push(dataset.read(index, pixels_hwc));
        if let Some((augment, epoch)) = augment {
            augment.apply(epoch, index, shape, pixels_hwc);
        }
    }
}
