//! Micro-batches as tensors: bytes from the data set, scaled, resized and normalised on the device.

use regatta_data::{Augment, Batch, Dataset, fill_batch};
use regatta_settings::Recipe;
use regatta_torch_ext::{MemoryFormat, pin_memory};
use tch::{Device, Kind, Tensor};

use crate::device::kind;
use crate::replica::memory_format;

/// Turns indices of a data set into a micro-batch on the device.
pub(crate) struct Batches<'a> {
    dataset: &'a dyn Dataset,
    augment: Option<Augment>,
    resolution: i64,
    /// Per channel, shaped `[1, c, 1, 1]`: a byte b becomes b · scale + shift = (b/255 − mean) / std.
    scale: Tensor,
    shift: Tensor,
    format: MemoryFormat,
    device: Device,
    buffer: Batch,
}

impl<'a> Batches<'a> {
    /// Of `dataset`, as the recipe says, with its augmentation where `training`.
    pub(crate) fn new(recipe: &Recipe, dataset: &'a dyn Dataset, training: bool, device: Device) -> Self {
        let data = &recipe.data;
        let per_channel = |value: &dyn Fn(f64, f64) -> f64| {
            let values: Vec<f64> = data.mean.iter().zip(&data.std).map(|(&m, &s)| value(m, s)).collect();
            let shape = [1, values.len() as i64, 1, 1];
            Tensor::from_slice(&values).view(shape).to_kind(kind(recipe.train.precision)).to_device(device)
        };
        Self {
            dataset,
            augment: training.then_some(Augment {
                seed: recipe.train.seed,
                horizontal_flip_probability: data.horizontal_flip_probability,
                random_crop_padding_px: data.random_crop_padding_px as usize,
            }),
            resolution: data.resolution_px.into(),
            scale: per_channel(&|_, std| 1.0 / (255.0 * std)),
            shift: per_channel(&|mean, std| -mean / std),
            format: memory_format(recipe),
            device,
            buffer: Batch::default(),
        }
    }

    /// The images `[n, c, h, w]` and labels `[n]` of `indices`, augmented as `epoch` says.
    pub(crate) fn load(&mut self, indices: &[usize], epoch: u64) -> (Tensor, Tensor) {
        self.assemble(indices, epoch);
        self.to_device()
    }

    /// Gathers the bytes of `indices` in host memory, augmented as `epoch` says.
    pub(crate) fn assemble(&mut self, indices: &[usize], epoch: u64) {
        let augment = self.augment.as_ref().map(|augment| (augment, epoch));
        fill_batch(self.dataset, indices, augment, &mut self.buffer);
    }

    /// What was assembled, on the device: images `[n, c, h, w]`, scaled, resized and normalised, and labels `[n]`.
    pub(crate) fn to_device(&self) -> (Tensor, Tensor) {
        let shape = self.dataset.shape();
        let size =
            [self.buffer.labels.len(), shape.height, shape.width, shape.channels].map(|side| side as i64);
        let bytes_nhwc = self.copied(&Tensor::from_data_size(&self.buffer.images_nhwc, &size, Kind::Uint8));
        let labels = self.copied(&Tensor::from_slice(&self.buffer.labels));
        (self.prepare(&bytes_nhwc.permute([0, 3, 1, 2])), labels)
    }

    /// On the device. A GPU fetches it from pinned memory, and the host does not wait: libtorch keeps that memory until the
    /// copy is through.
    fn copied(&self, host: &Tensor) -> Tensor {
        match self.device {
            Device::Cpu => host.shallow_clone(),
            device => {
                let pinned = pin_memory(host).expect("page-locked memory for a micro-batch");
                pinned.to_device_(device, host.kind(), true, false)
            }
        }
    }

    fn prepare(&self, bytes_nchw: &Tensor) -> Tensor {
        let normalized = bytes_nchw.to_kind(self.scale.kind()) * &self.scale + &self.shift;
        let [_, _, height, width] = normalized.size()[..] else { unreachable!("images have four axes") };
        let side = self.resolution;
        let resized = if (height, width) == (side, side) {
            normalized
        } else {
            normalized.upsample_bilinear2d([side, side], false, None, None)
        };
        self.format.of(&resized)
    }
}
