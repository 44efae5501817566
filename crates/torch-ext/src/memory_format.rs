//! The memory format channels_last of images and convolution weights: NCHW shapes in NHWC order in memory.

use tch::Tensor;

/// The strides, in elements, of a dense channels_last tensor of shape `[n, c, h, w]`.
pub fn strides_channels_last(shape: [i64; 4]) -> [i64; 4] {
    let [_, c, h, w] = shape;
    [h * w * c, 1, w * c, c]
}

/// A dense channels_last copy of `images_nchw` (itself where it is one already).
pub fn to_channels_last(images_nchw: &Tensor) -> Tensor {
    images_nchw.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}
