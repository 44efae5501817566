//! Convolution with a workaround for a libtorch bug that writes out of bounds.

use tch::{Device, Tensor};

/// Number of channels that oneDNN's AVX-512 kernels process at a time; its AVX2 kernels process 8.
const CHANNEL_BLOCK: i64 = 16;

/// Convolves `input` with a square kernel, like `Tensor::conv2d`. If libtorch's own convolution would
/// [write out of bounds](overruns), copies the pixels that the stride selects and convolves them with stride 1, which computes
/// the same sum.
pub fn conv2d(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: i64,
    padding: i64,
    groups: i64,
) -> Tensor {
    let convolve = |input: &Tensor, stride: i64| {
        input.conv2d(weight, bias, [stride, stride], [padding, padding], [1, 1], groups)
    };
    if overruns(input, weight, stride) {
        return convolve(&input.slice(2, 0, None, stride).slice(3, 0, None, stride), 1);
    }
    convolve(input, stride)
}

/// Returns whether the backward pass of this convolution without padding may write out of bounds in libtorch 2.11 on a CPU.
///
/// This concerns 1x1 convolutions in channels_last with a stride that divides both sides of the image and with fewer channels
/// than a block of oneDNN. There oneDNN (3.10.2, 1x1 `backward_weights` for AVX2 and AVX-512) gathers pixels in scratch memory
/// that is sized for the actual channels, but computes offsets within an image as if there were a full block of channels.
/// Whether a thread's part begins within an image depends on the number of images, the sides and the number of threads, which
/// are therefore ignored here.
pub fn overruns(input: &Tensor, weight: &Tensor, stride: i64) -> bool {
    if stride == 1 || input.device() != Device::Cpu {
        return false;
    }
    let (size, kernel) = (input.size(), weight.size());
    let (channels, sides) = (size[1], &size[2..]);
    let is_channels_last = input.stride()[1] == 1;
    is_channels_last
        && kernel[2..] == [1, 1]
        && sides.iter().all(|side| side % stride == 0)
        && channels < CHANNEL_BLOCK
}
