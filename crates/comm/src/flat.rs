//! A dense buffer that holds many tensors as views.

use regatta_anynet::{Group, Layout, Parameter};
use regatta_settings::MemoryFormat;
use regatta_torch_ext::strides_channels_last;
use tch::{Device, Kind, Tensor};

/// A one-dimensional tensor with views for all parameters, gradients, statistics or optimizer states.
#[derive(Debug)]
pub struct FlatBuffer {
    /// All elements, including padding, which is always zero.
    pub flat: Tensor,
    /// The tensors, in the order in which they were specified.
    pub views: Vec<Tensor>,
    shapes: Vec<(usize, Vec<i64>)>,
    format: MemoryFormat,
}

impl FlatBuffer {
    /// Creates a zeroed buffer for `parameters` in `layout`. Four-dimensional tensors are stored in `format`.
    pub fn zeros(
        layout: &Layout,
        parameters: &[Parameter],
        format: MemoryFormat,
        options: (Kind, Device),
    ) -> Self {
        let shapes = layout.offsets.iter().zip(parameters).map(|(&at, p)| (at, p.shape.clone())).collect();
        Self::over(Tensor::zeros([layout.len as i64], options), shapes, format)
    }

    /// Creates a zeroed buffer of consecutive vectors with these lengths.
    pub fn of_vectors(lengths: impl Iterator<Item = i64>, options: (Kind, Device)) -> Self {
        let mut at = 0;
        let shapes: Vec<_> = lengths
            .map(|length| {
                at += length as usize;
                (at - length as usize, vec![length])
            })
            .collect();
        Self::over(Tensor::zeros([at as i64], options), shapes, MemoryFormat::Contiguous)
    }

    /// Creates a zeroed buffer with the same views.
    pub fn zeros_like(&self) -> Self {
        Self::over(self.flat.zeros_like(), self.shapes.clone(), self.format)
    }

    fn over(flat: Tensor, shapes: Vec<(usize, Vec<i64>)>, format: MemoryFormat) -> Self {
        let view = |(at, shape): &(usize, Vec<i64>)| {
            let strides = match (format, &shape[..]) {
                (MemoryFormat::ChannelsLast, &[n, c, h, w]) => strides_channels_last([n, c, h, w]).to_vec(),
                _ => strides_contiguous(shape),
            };
            flat.as_strided(shape, strides, *at as i64)
        };
        let views = shapes.iter().map(view).collect();
        Self { flat, views, shapes, format }
    }

    /// Returns the parts of the buffer that hold parameters of `groups` according to `layout`.
    pub fn slices(&self, layout: &Layout, groups: &[Group]) -> Vec<Tensor> {
        let of_groups = layout.slices.iter().filter(|slice| groups.contains(&slice.group));
        of_groups
            .map(|slice| self.flat.narrow(0, slice.range.start as i64, slice.range.len() as i64))
            .collect()
    }

    /// Returns the bytes of the flat tensor in native byte order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let host = self.flat.detach().to_device(Device::Cpu);
        let mut bytes = vec![0; host.numel() * host.kind().elt_size_in_bytes()];
        host.copy_data_u8(&mut bytes, host.numel());
        bytes
    }
}

fn strides_contiguous(shape: &[i64]) -> Vec<i64> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

#[cfg(test)]
mod tests {
    use regatta_anynet::{BucketCaps, Role};

    use super::*;

    #[test]
    fn views_share_the_buffer_in_either_format() {
        let shapes: [&[i64]; 3] = [&[2, 3, 3, 3], &[2], &[4, 2]];
        let parameters: Vec<_> = shapes
            .iter()
            .enumerate()
            .map(|(block, shape)| {
                let role = if shape.len() > 1 { Role::ConvWeight } else { Role::NormBias };
                Parameter { name: format!("p{block}"), shape: shape.to_vec(), block, role }
            })
            .collect();
        let layout = Layout::new(&parameters, BucketCaps { first: 64, rest: 1 << 20 });
        for format in [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast] {
            let mut buffer = FlatBuffer::zeros(&layout, &parameters, format, (Kind::Double, Device::Cpu));
            for (index, view) in buffer.views.iter_mut().enumerate() {
                _ = view.fill_(index as i64 + 1);
            }
            assert_eq!(buffer.views[0].size(), [2, 3, 3, 3]);
            assert_eq!(buffer.flat.sum(Kind::Double).double_value(&[]), 54.0 + 2.0 * 2.0 + 3.0 * 8.0);
            let elements = |groups| buffer.slices(&layout, groups).iter().map(Tensor::numel).sum::<usize>();
            assert_eq!(elements(&[Group::Weight]), 64 + 16);
            assert_eq!(elements(&[Group::Weight, Group::Norm]), 64 + 16 + 16);
            assert_eq!(buffer.to_bytes().len(), layout.len * 8);
            assert_eq!(buffer.zeros_like().views[0].stride(), buffer.views[0].stride());
        }
    }
}
