//! Checks a recipe against its data set: classes, channels, and the sizes of an epoch's last micro-batches.

use regatta_anynet::Stem;

use crate::error::RecipeError;
use crate::recipe::{DataSource, Recipe, Resolution};

/// Mean of ImageNet's training images, red, green and blue.
const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of ImageNet's training images.
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

/// Properties of a data set that a recipe is checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatasetFacts {
    /// Number of training images, without the recipe's limit.
    pub train_images: usize,
    /// Number of validation images, without the recipe's limit.
    pub val_images: usize,
    /// Number of channels of an image.
    pub channels: u32,
    /// Number of classes.
    pub classes: u32,
}

impl DataSource {
    /// Returns the number of training images, if it is known without opening the files.
    pub fn train_images(&self) -> Option<usize> {
        match self {
            Self::Files { dataset, .. } => dataset.facts().train_images,
            Self::Synthetic { train_images, .. } => Some(*train_images),
            Self::ImageFolder { .. } | Self::TarShards { .. } => None,
        }
    }

    /// Returns the number of channels of an image, and the number of classes if it is known without opening the files.
    pub(crate) fn channels_and_classes(&self) -> (u32, Option<u32>) {
        match self {
            Self::Files { dataset, .. } => (dataset.facts().channels, Some(dataset.facts().classes)),
            Self::Synthetic { channels, classes, .. } => (*channels, Some(*classes)),
            Self::ImageFolder { .. } | Self::TarShards { .. } => (3, None),
        }
    }

    /// Returns the mean and standard deviation of the training images, per channel or one value for all channels.
    pub(crate) fn mean_and_std(&self) -> (&'static [f64], &'static [f64]) {
        match self {
            Self::Files { dataset, .. } => (dataset.facts().mean, dataset.facts().std),
            Self::Synthetic { .. } => (&[0.5], &[0.25]),
            Self::ImageFolder { .. } | Self::TarShards { .. } => (&IMAGENET_MEAN, &IMAGENET_STD),
        }
    }
}

impl Recipe {
    /// Checks that this recipe can be trained on a data set with these properties.
    ///
    /// # Errors
    /// No training or validation images, limits above their numbers, classes or channels that differ from the model's, an epoch
    /// without steps because of `drop_last`, more images for precise statistics than there are, and micro-batches of one image if
    /// the smallest feature map is 1x1, since BatchNorm would normalise one value.
    pub fn check_dataset(&self, facts: &DatasetFacts) -> Result<(), RecipeError> {
        for (images, kind) in [(facts.train_images, "training"), (facts.val_images, "validation")] {
            if images == 0 {
                let problem =
                    format!("the data set has no {kind} images: choose another data.dataset or data.folder");
                return Err(self.places.conflict("data.dataset", problem));
            }
        }
        self.check_limits(facts)?;
        self.check_match("model.classes", self.model.classes, facts.classes)?;
        self.check_match("model.in_channels", self.model.in_channels, facts.channels)?;

        let images = self.data.limit_train_images.unwrap_or(facts.train_images);
        let batch = self.train.global_batch_size;
        if self.train.drop_last && images < batch {
            let problem = format!(
                "train.drop_last = true leaves no step: there are {images} training images and \
                 train.global_batch_size is {batch}; set train.drop_last to false or a batch of at most {images}"
            );
            return Err(self.places.conflict("train.drop_last", problem));
        }
        let precise = self.eval.precise_bn_images;
        if precise > images {
            let problem = format!(
                "eval.precise_bn_images = {precise}, but there are {images} training images: set at most {images}"
            );
            return Err(self.places.conflict("eval.precise_bn_images", problem));
        }
        if self.map_is_one_pixel() { self.check_last_micro_batches(images) } else { Ok(()) }
    }

    /// Rejects a limit of images above their number.
    fn check_limits(&self, facts: &DatasetFacts) -> Result<(), RecipeError> {
        let limits = [
            ("data.limit_train_images", self.data.limit_train_images, facts.train_images, "training"),
            ("data.limit_val_images", self.data.limit_val_images, facts.val_images, "validation"),
        ];
        for (key, limit, images, kind) in limits {
            if let Some(limit) = limit.filter(|&limit| limit > images) {
                let problem = format!(
                    "{key} = {limit}, but the data set has {images} {kind} images: leave it out or set at most {images}"
                );
                return Err(self.places.conflict(key, problem));
            }
        }
        Ok(())
    }

    fn check_match(&self, key: &str, in_recipe: u32, in_dataset: u32) -> Result<(), RecipeError> {
        if in_recipe == in_dataset {
            return Ok(());
        }
        let is_required = key == "model.classes" && self.data.source.is_image_files();
        let remedy = if is_required { "set" } else { "leave it out or set" };
        let problem =
            format!("{key} = {in_recipe}, but the data set has {in_dataset}: {remedy} {in_dataset}");
        Err(self.places.conflict(key, problem))
    }

    fn check_last_micro_batches(&self, images: usize) -> Result<(), RecipeError> {
        let (batch, micro) = (self.train.global_batch_size, self.train.micro_batch_size);
        let last_micro_batch = |images: usize| (images - 1) % micro + 1;
        if images >= batch && last_micro_batch(batch) == 1 {
            let cause = format!(
                "train.global_batch_size = {batch} in micro-batches of {micro} leaves one image in the last"
            );
            let problem = self.one_value_problem(&cause, "choose another train.micro_batch_size");
            return Err(self.places.conflict("train.micro_batch_size", problem));
        }
        let rest = images % batch;
        if !self.train.drop_last && rest > 0 && last_micro_batch(rest) == 1 {
            let cause = format!(
                "{images} training images in batches of train.global_batch_size = {batch} and micro-batches of \
                 {micro} leave one image in an epoch's last"
            );
            let problem =
                self.one_value_problem(&cause, "set train.drop_last to true, choose another batch size");
            return Err(self.places.conflict("train.global_batch_size", problem));
        }
        Ok(())
    }

    /// Returns whether the network's last feature map is 1x1 for the smallest training images.
    pub(crate) fn map_is_one_pixel(&self) -> bool {
        let side = self.data.smallest_resolution_px().into();
        self.network().smallest_map(side, side) == (1, 1)
    }

    /// Returns the error text for micro-batches of one image with a 1x1 feature map.
    pub(crate) fn one_value_problem(&self, cause: &str, remedy: &str) -> String {
        if self.model.stem == Stem::Flatten {
            return format!(
                "{cause}, and fully connected layers have one value per image: BatchNorm would normalise one value \
                 per channel; {remedy}"
            );
        }
        let side = self.data.smallest_resolution_px();
        let (size, key) = match self.data.resolution {
            Resolution::Fixed { .. } => (format!("data.resolution_px = {side}"), "data.resolution_px"),
            Resolution::Changing { .. } => (format!("px = {side} in data.resolution"), "that px"),
        };
        format!(
            "{cause}, and with {size} the last feature map is 1x1: BatchNorm would normalise one value per channel; \
             {remedy} or raise {key}"
        )
    }
}
