//! What the recipe says about images on their way to the network: transform, loader, and the device's part.

use std::sync::Arc;

use regatta_data::{
    Augment, DEFAULT_PREFETCH_BATCHES, DeviceWork, ImageShape, Images, LoaderSettings, OnBadImage, Source,
    Split, Transform, auto_workers, loader_bytes,
};
use regatta_settings::Recipe;
use tch::Device;

/// Returns the images of `source`, with the recipe's augmentation for the training split.
pub(crate) fn images(recipe: &Recipe, source: Arc<dyn Source>, split: Split) -> Images {
    let augment = (split == Split::Train).then_some(Augment {
        seed: recipe.train.seed,
        horizontal_flip_probability: recipe.data.horizontal_flip_probability,
        random_crop_padding_px: recipe.data.random_crop_padding_px as usize,
    });
    let transform = Transform::new(source.encoding(), augment);
    Images::new(source, split, transform)
}

/// Returns the operations that the transform of a split leaves to the device.
pub(crate) fn device_work(_recipe: &Recipe, _split: Split) -> DeviceWork {
    DeviceWork::default()
}

/// Returns the settings of the loader of a rank with `cores` cores.
pub(crate) fn loader_settings(recipe: &Recipe, cores: usize, device: Device) -> LoaderSettings {
    LoaderSettings {
        workers: auto_workers(cores, device != Device::Cpu),
        prefetch_batches: DEFAULT_PREFETCH_BATCHES,
        on_bad_image: on_bad_image(recipe),
    }
}

/// Returns what the recipe does with images that cannot be read.
pub(crate) fn on_bad_image(_recipe: &Recipe) -> OnBadImage {
    OnBadImage::Error
}

/// Returns the images of an evaluation batch.
pub(crate) fn evaluation_batch_size(recipe: &Recipe) -> usize {
    recipe.eval.batch_size
}

/// Returns the host memory of a rank's loader in bytes: an estimate, for images of the network's resolution.
pub(crate) fn loader_memory(recipe: &Recipe) -> u64 {
    let side = recipe.data.resolution_px as usize;
    let shape = ImageShape { channels: recipe.network().in_channels as usize, height: side, width: side };
    let largest = recipe.train.micro_batch_size.max(evaluation_batch_size(recipe));
    loader_bytes(DEFAULT_PREFETCH_BATCHES, largest, shape)
}
