//! Turns a block of bytes into a micro-batch on the device: images normalised, with what the workers left to the device, and
//! resized.

use regatta_data::{DRAW_BYTES, DeviceDraw, DeviceWork, ErasedValue, ImageShape, LABEL_BYTES, noise_table};
use regatta_settings::{MemoryFormat, Recipe};
use tch::{Device, Kind, Tensor};

use crate::device::kind;
use crate::replica::in_format;

/// Prepares the images of one split.
pub(crate) struct Preparation {
    /// Shape of the images in a block.
    shape: ImageShape,
    /// Height and width that they are resized to.
    resolution: i64,
    /// Per channel, of shape `[1, c, 1, 1]`: a byte b becomes b · scale + shift = (b/255 − mean) / std.
    scale: Tensor,
    shift: Tensor,
    format: MemoryFormat,
    /// Per channel, 1 / std: what a unit of lighting adds. None without lighting.
    lighting_scale: Option<Tensor>,
    erasing: Option<Erasing>,
}

/// What erased pixels are filled with.
enum Erasing {
    Zero,
    /// The table of noise, repeated beyond its end by the length of an image.
    Noise(Tensor),
}

impl Preparation {
    /// Prepares images of `shape` for the recipe's network, at `resolution_px`.
    ///
    /// # Panics
    /// If images without three channels have lighting.
    pub(crate) fn new(
        recipe: &Recipe,
        shape: ImageShape,
        resolution_px: u32,
        work: DeviceWork,
        device: Device,
    ) -> Self {
        assert!(!work.lighting || shape.channels == 3, "lighting is for three channels");
        let data = &recipe.data;
        let per_channel = |value: &dyn Fn(f64, f64) -> f64| {
            let values: Vec<f64> = data.mean.iter().zip(&data.std).map(|(&m, &s)| value(m, s)).collect();
            let shape = [1, values.len() as i64, 1, 1];
            Tensor::from_slice(&values).view(shape).to_kind(kind(recipe.train.precision)).to_device(device)
        };
        Self {
            shape,
            resolution: resolution_px.into(),
            scale: per_channel(&|_, std| 1.0 / (255.0 * std)),
            shift: per_channel(&|mean, std| -mean / std),
            format: recipe.train.memory_format,
            lighting_scale: work.lighting.then(|| per_channel(&|_, std| 1.0 / std)),
            erasing: work.erasing.map(|value| Erasing::new(value, shape, device)),
        }
    }

    /// Returns the images `[n, c, h, w]` in the network's resolution and labels `[n]` of a block of `images` images on the device.
    pub(crate) fn apply(&self, block: &Tensor, images: usize) -> (Tensor, Tensor) {
        let (images_nchw, labels) = self.apply_unresized(block, images);
        (self.resize(&images_nchw), labels)
    }

    /// Like [`apply`](Self::apply), but returns the images in their own size.
    pub(crate) fn apply_unresized(&self, block: &Tensor, images: usize) -> (Tensor, Tensor) {
        let [height, width, channels] =
            [self.shape.height, self.shape.width, self.shape.channels].map(|side| side as i64);
        let [count, labels_bytes, draws_bytes] =
            [images, images * LABEL_BYTES, images * DRAW_BYTES].map(|number| number as i64);
        let labels = block.narrow(0, 0, labels_bytes).view_dtype(Kind::Int64).copy();
        let draws = block.narrow(0, labels_bytes, draws_bytes).view_dtype(Kind::Float);
        let pixels_start = labels_bytes + draws_bytes;
        let pixels = block.narrow(0, pixels_start, block.numel() as i64 - pixels_start);
        let bytes_nchw = pixels.view([count, height, width, channels]).permute([0, 3, 1, 2]);
        (self.normalize(&bytes_nchw, &draws.view([count, DeviceDraw::VALUES as i64])), labels)
    }

    /// Normalises the images, with what the workers left to the device.
    fn normalize(&self, bytes_nchw: &Tensor, draws: &Tensor) -> Tensor {
        let scaled = bytes_nchw.to_kind(self.scale.kind()) * &self.scale;
        let normalized = match &self.lighting_scale {
            None => scaled + &self.shift,
            Some(scale) => {
                let lighting = draws.narrow(1, 0, 3).to_kind(scale.kind()).view([-1, 3, 1, 1]);
                scaled + (&self.shift + lighting * scale)
            }
        };
        match &self.erasing {
            None => normalized,
            Some(erasing) => erasing.apply(&normalized, draws),
        }
    }

    fn resize(&self, images_nchw: &Tensor) -> Tensor {
        let side = self.resolution;
        if images_nchw.size()[2..] == [side, side] {
            return in_format(images_nchw, self.format);
        }
        in_format(&images_nchw.upsample_bilinear2d([side, side], false, None, None), self.format)
    }
}

impl Erasing {
    fn new(value: ErasedValue, shape: ImageShape, device: Device) -> Self {
        match value {
            ErasedValue::Zero => Self::Zero,
            ErasedValue::Noise => {
                let table = noise_table();
                let length = table.len() + shape.bytes();
                let repeated = Tensor::from_slice(&table).repeat([length.div_ceil(table.len()) as i64]);
                Self::Noise(repeated.narrow(0, 0, length as i64).to_device(device))
            }
        }
    }

    /// Fills each image's rectangle. `draws` holds [`DeviceDraw::record`] of each image.
    fn apply(&self, images_nchw: &Tensor, draws: &Tensor) -> Tensor {
        let [_, channels, height, width] = images_nchw.size()[..] else {
            unreachable!("images have four axes")
        };
        let drawn = |column: i64| draws.narrow(1, column, 1).view([-1, 1, 1, 1]);
        let inside = |positions: &Tensor, first: &Tensor, count: &Tensor| {
            positions.ge_tensor(first).logical_and(&positions.lt_tensor(&(first + count)))
        };
        let positions = |count: i64| Tensor::arange(count, (Kind::Float, draws.device()));
        let columns = inside(&positions(width).view([1, 1, 1, width]), &drawn(3), &drawn(5));
        let rows = inside(&positions(height).view([1, 1, height, 1]), &drawn(4), &drawn(6));
        let erased = columns.logical_and(&rows);
        match self {
            Self::Zero => images_nchw.masked_fill(&erased, 0.0),
            Self::Noise(table) => {
                let image = channels * height * width;
                // Row k of this view is the table from position k on.
                let from = table.unfold(0, image, 1);
                let noise = from.index_select(0, &drawn(7).view([-1]).to_kind(Kind::Int64));
                let noise = noise.view([-1, channels, height, width]).to_kind(images_nchw.kind());
                noise.where_self(&erased, images_nchw)
            }
        }
    }
}
