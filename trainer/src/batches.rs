//! Assembles micro-batches: image bytes are copied to the device and normalised and resized there.

use anyhow::Result;
use regatta_data::{Augment, Images, Scratch, Source, Split, Transform};
use regatta_settings::{MemoryFormat, Recipe};
use tch::{Device, Kind, Tensor};

use crate::device::kind;
use crate::replica::in_format;
use crate::upload::Uploader;

/// Bytes of a label. Labels come first in a block, so that both parts are aligned.
const LABEL_BYTES: usize = size_of::<i64>();

/// Returns the images of `source`, with the recipe's augmentation for the training split.
pub(crate) fn images<'a>(recipe: &Recipe, source: &'a dyn Source, split: Split) -> Images<'a> {
    let augment = (split == Split::Train).then_some(Augment {
        seed: recipe.train.seed,
        horizontal_flip_probability: recipe.augment.horizontal_flip_probability,
        random_crop_padding_px: recipe.augment.random_crop_padding_px as usize,
    });
    Images::new(source, split, Transform::new(source.encoding(), augment))
}

/// Turns image indices into micro-batches on the device. The copy of one overlaps with the computation on another.
pub(crate) struct Batches<'a> {
    images: Images<'a>,
    scratch: Scratch,
    preparation: Preparation,
    uploader: Uploader,
}

impl<'a> Batches<'a> {
    /// Creates micro-batches from `source`, the `split` of the recipe's data set.
    ///
    /// # Errors
    /// A device stream that cannot be created.
    pub(crate) fn new(recipe: &Recipe, source: &'a dyn Source, split: Split, device: Device) -> Result<Self> {
        Ok(Self {
            images: images(recipe, source, split),
            scratch: Scratch::default(),
            preparation: Preparation::new(recipe, device),
            uploader: Uploader::new(device)?,
        })
    }

    /// Returns the images `[n, c, h, w]` and labels `[n]` of `indices`, with the augmentation of `epoch`.
    #[cfg(test)]
    pub(crate) fn load(&mut self, indices: &[usize], epoch: u64) -> (Tensor, Tensor) {
        self.begin(indices, epoch).unwrap();
        self.take().unwrap()
    }

    /// Returns the number of micro-batches begun and not yet taken.
    pub(crate) fn pending(&self) -> usize {
        self.uploader.pending()
    }

    /// Reads the images `indices`, with the augmentation of `epoch`, and starts the host-to-device copy.
    ///
    /// # Errors
    /// An image that cannot be read, in which case no copy is started; device errors.
    pub(crate) fn begin(&mut self, indices: &[usize], epoch: u64) -> Result<()> {
        let Self { images, scratch, uploader, .. } = self;
        let labels_bytes = indices.len() * LABEL_BYTES;
        let bytes = labels_bytes + indices.len() * images.shape().bytes();
        uploader.begin(bytes, |block| {
            let (labels_block, images_nhwc) = block.split_at_mut(labels_bytes);
            let labels = images.read_all(epoch, indices, scratch, images_nhwc)?;
            for (place, label) in labels_block.chunks_exact_mut(LABEL_BYTES).zip(labels) {
                place.copy_from_slice(&label.to_ne_bytes());
            }
            Ok(())
        })
    }

    /// Returns the oldest pending micro-batch, on the device: normalised and resized images `[n, c, h, w]`, and labels `[n]`.
    ///
    /// # Errors
    /// Device errors.
    pub(crate) fn take(&mut self) -> Result<(Tensor, Tensor)> {
        let Self { uploader, images, preparation, .. } = self;
        let shape = images.shape();
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

/// Normalises and resizes images on the device.
struct Preparation {
    resolution: i64,
    /// Per channel, of shape `[1, c, 1, 1]`: a byte b becomes b · scale + shift = (b/255 − mean) / std.
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
