//! What the recipe says about images on their way to the network: transform, loader, and the device's part.

use std::sync::Arc;

use regatta_data::{
    ColorJitter, Evaluation, Images, Interpolation, LoaderSettings, OnBadImage, RandomErasing,
    RandomResizedCrop, Source, Split, Transform, TransformSettings, auto_workers,
};
use regatta_settings::{self as settings, AutoAugment, Recipe};
use tch::Device;

/// Returns the images of `source`, the part `split` of the recipe's data set, with the recipe's transforms; training images in
/// the largest size.
pub(crate) fn images(recipe: &Recipe, source: Arc<dyn Source>, split: Split) -> Images {
    images_of_size(recipe, source, split, recipe.data.resolution_px)
}

/// Like [`images`], with training images of `training_px` pixels in height and width.
pub(crate) fn images_of_size(
    recipe: &Recipe,
    source: Arc<dyn Source>,
    split: Split,
    training_px: u32,
) -> Images {
    let transform = Transform::new(source.encoding(), split, transform_settings(recipe, training_px));
    Images::new(source, split, transform)
}

fn transform_settings(recipe: &Recipe, training_px: u32) -> TransformSettings {
    let (data, augment) = (&recipe.data, &recipe.augment);
    let [brightness, contrast, saturation, hue] = augment.color_jitter;
    let crop = augment.random_resized_crop_scale.zip(augment.random_resized_crop_ratio);
    TransformSettings {
        seed: recipe.train.seed,
        resolution_px: training_px,
        filter: data.interpolation,
        antialias: data.antialias,
        jpeg: data.jpeg,
        random_resized_crop: crop.map(|(scale, ratio)| RandomResizedCrop { scale, ratio }),
        horizontal_flip_probability: augment.horizontal_flip_probability,
        random_crop_padding_px: augment.random_crop_padding_px as usize,
        auto_augment: match augment.auto_augment {
            AutoAugment::None => regatta_data::AutoAugment::None,
            AutoAugment::RandAugment => regatta_data::AutoAugment::RandAugment {
                operations: augment.rand_augment_operations as usize,
                magnitude: augment.rand_augment_magnitude as usize,
            },
            AutoAugment::TrivialAugmentWide => regatta_data::AutoAugment::TrivialAugmentWide,
        },
        interpolation: Interpolation::Bilinear,
        color_jitter: ColorJitter { brightness, contrast, saturation, hue },
        pca_lighting_std: augment.pca_lighting_std,
        random_erasing: RandomErasing {
            probability: augment.random_erasing_probability,
            value: augment.random_erasing_value,
        },
        channel_order: data.channel_order,
        evaluation: Evaluation {
            resize_px: data.val_resize_px.unwrap_or(data.val_resolution_px),
            crop_px: data.val_resolution_px,
        },
    }
}

/// Returns the side of the network's input for a split in an epoch, counted from 0, in pixels.
pub(crate) fn resolution_px(recipe: &Recipe, split: Split, epoch: u64) -> u32 {
    match split {
        Split::Train => recipe.data.resolution_px_in(epoch),
        Split::Validation => recipe.data.val_resolution_px,
    }
}

/// Returns the settings of the loader of a rank with `cores` cores.
pub(crate) fn loader_settings(recipe: &Recipe, cores: usize, device: Device) -> LoaderSettings {
    let workers = match recipe.data.workers {
        0 => auto_workers(cores, device != Device::Cpu),
        workers => workers,
    };
    let prefetch_batches = recipe.data.prefetch_batches;
    LoaderSettings { workers, prefetch_batches, on_bad_image: on_bad_image(recipe) }
}

/// Returns what the recipe does with images that cannot be read.
pub(crate) fn on_bad_image(recipe: &Recipe) -> OnBadImage {
    match recipe.data.on_bad_image {
        settings::OnBadImage::Error => OnBadImage::Error,
        settings::OnBadImage::Skip => OnBadImage::Skip { max_fraction: recipe.data.max_bad_fraction },
    }
}
