//! Micro-batches as tensors: bytes from the data set, scaled, resized and normalised on the device.

use anyhow::Result;
use regatta_data::{Augment, Dataset, fill_batch};
use regatta_settings::{MemoryFormat, Recipe};
use tch::{Device, Kind, Tensor};

use crate::device::kind;
use crate::replica::in_format;
use crate::upload::Uploader;

/// The labels come first in a block, so that both are aligned.
const LABEL_BYTES: usize = size_of::<i64>();

/// The augmentation of training images.
pub(crate) fn augment(recipe: &Recipe) -> Augment {
    Augment {
        seed: recipe.train.seed,
        horizontal_flip_probability: recipe.data.horizontal_flip_probability,
        random_crop_padding_px: recipe.data.random_crop_padding_px as usize,
    }
}

/// Turns indices of a data set into micro-batches on the device. One is on its way while another is computed with.
pub(crate) struct Batches<'a> {
    dataset: &'a dyn Dataset,
    augment: Option<Augment>,
    preparation: Preparation,
    uploader: Uploader,
}

impl<'a> Batches<'a> {
    /// Of `dataset`, as the recipe says, with its augmentation where `training`.
    pub(crate) fn new(
        recipe: &Recipe,
        dataset: &'a dyn Dataset,
        training: bool,
        device: Device,
    ) -> Result<Self> {
        let augment = training.then(|| augment(recipe));
        let preparation = Preparation::new(recipe, device);
        Ok(Self { dataset, augment, preparation, uploader: Uploader::new(device)? })
    }

    /// The images `[n, c, h, w]` and labels `[n]` of `indices`, augmented as `epoch` says.
    #[cfg(test)]
    pub(crate) fn load(&mut self, indices: &[usize], epoch: u64) -> (Tensor, Tensor) {
        self.begin(indices, epoch).unwrap();
        self.take().unwrap()
    }

    /// How many were begun and not taken yet.
    pub(crate) fn under_way(&self) -> usize {
        self.uploader.under_way()
    }

    /// Gathers the bytes of `indices`, augmented as `epoch` says, and sends them on their way to the device.
    pub(crate) fn begin(&mut self, indices: &[usize], epoch: u64) -> Result<()> {
        let (dataset, augment) = (self.dataset, self.augment.as_ref().map(|augment| (augment, epoch)));
        let labels_bytes = indices.len() * LABEL_BYTES;
        let bytes = labels_bytes + indices.len() * dataset.shape().bytes();
        self.uploader.begin(bytes, |block| {
            let (labels_block, images_nhwc) = block.split_at_mut(labels_bytes);
            let labels = fill_batch(dataset, indices, augment, images_nhwc);
            for (place, label) in labels_block.chunks_exact_mut(LABEL_BYTES).zip(labels) {
                place.copy_from_slice(&label.to_ne_bytes());
            }
        })
    }

    /// What was begun first, on the device: images `[n, c, h, w]`, scaled, resized and normalised, and labels `[n]`.
    pub(crate) fn take(&mut self) -> Result<(Tensor, Tensor)> {
        let Self { uploader, dataset, preparation, .. } = self;
        let shape = dataset.shape();
        let [height, width, channels] = [shape.height, shape.width, shape.channels].map(|side| side as i64);
        uploader.take(|block| {
            let images = block.numel() / (LABEL_BYTES + shape.bytes());
            let labels_bytes = (images * LABEL_BYTES) as i64;
            let labels = block.narrow(0, 0, labels_bytes).view_dtype(Kind::Int64).copy();
            let bytes = block.narrow(0, labels_bytes, block.numel() as i64 - labels_bytes);
            let bytes_nhwc = bytes.view([images as i64, height, width, channels]);
            (preparation.apply(&bytes_nhwc.permute([0, 3, 1, 2])), labels)
        })
    }
}

/// From an image's bytes to what the network sees.
struct Preparation {
    resolution: i64,
    /// Per channel, shaped `[1, c, 1, 1]`: a byte b becomes b · scale + shift = (b/255 − mean) / std.
    scale: Tensor,
    shift: Tensor,
    format: MemoryFormat,
}

impl Preparation {
    fn new(recipe: &Recipe, device: Device) -> Self {
        let data = &recipe.data;
        let per_channel = |value: &dyn Fn(f64, f64) -> f64| {
            let values: Vec<f64> = data.mean.iter().zip(&data.std).map(|(&m, &s)| value(m, s)).collect();
            let shape = [1, values.len() as i64, 1, 1];
            Tensor::from_slice(&values).view(shape).to_kind(kind(recipe.train.precision)).to_device(device)
        };
        Self {
            resolution: data.resolution_px.into(),
            scale: per_channel(&|_, std| 1.0 / (255.0 * std)),
            shift: per_channel(&|mean, std| -mean / std),
            format: recipe.train.memory_format,
        }
    }

    fn apply(&self, bytes_nchw: &Tensor) -> Tensor {
        let normalized = bytes_nchw.to_kind(self.scale.kind()) * &self.scale + &self.shift;
        let [_, _, height, width] = normalized.size()[..] else { unreachable!("images have four axes") };
        let side = self.resolution;
        let resized = if (height, width) == (side, side) {
            normalized
        } else {
            normalized.upsample_bilinear2d([side, side], false, None, None)
        };
        in_format(&resized, self.format)
    }
}
