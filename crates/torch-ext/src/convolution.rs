//! Convolution, on a way around libtorch's own where that writes beyond its memory.

use tch::{Device, Tensor};

/// Channels that oneDNN's kernels for AVX-512 take at a time; those for AVX2 take 8.
const CHANNEL_BLOCK: i64 = 16;

/// `input` convolved with a square kernel, as `Tensor::conv2d` does it. Where libtorch's own would [overrun](overruns), the
/// pixels that a stride takes are copied first and then convolved with stride 1, which is the same sum.
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

/// Whether libtorch 2.11 on a CPU writes beyond its memory in the backward of this convolution without padding: a 1x1 one with
/// a stride that divides both sides, in channels_last, of fewer channels than a block of oneDNN has. There oneDNN (3.10.2, 1x1
/// `backward_weights` of AVX2 and AVX-512) gathers the pixels in scratch memory, sized for the channels that there are, but
/// places a part of an image as if there were a block of them. Whether a part ever begins within an image is a matter of
/// images, sides and threads, so they do not count here.
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
