//! The memory format channels_last for images and convolution weights: NCHW shapes stored in NHWC order.

use tch::Tensor;

/// Returns the strides, in elements, of a dense channels_last tensor of shape `[n, c, h, w]`.
pub fn strides_channels_last(shape: [i64; 4]) -> [i64; 4] {
    let [_, c, h, w] = shape;
    [h * w * c, 1, w * c, c]
}

/// Returns a dense channels_last copy of `images_nchw`, or the tensor itself if it already has this format.
pub fn to_channels_last(images_nchw: &Tensor) -> Tensor {
    images_nchw.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}
