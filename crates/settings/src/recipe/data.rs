//! `[data]`: its keys, the image source and normalisation that they resolve to, and their checks.

use std::path::PathBuf;

use regatta_data::DatasetName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::SourceName;
use crate::data_folder;
use crate::error::RecipeError;
use crate::interval::{Checked, FRACTION};
use crate::place::Places;
use crate::recipe::Recipe;
use crate::required::Required;
use crate::schema::{self, one_of};

/// `[data]`: the training and validation images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawData {
    /// Source of the images: the files of a known data set (gzip or plain), or "synthetic", which generates images
    /// from a seed. Required.
    pub dataset: Option<SourceName>,
    /// Folder that contains the data set's files (not for synthetic; required for mnist). Default: for fashion_mnist
    /// datasets/fashion-mnist in the working folder or the checkout, where `make` puts them, else
    /// /usr/share/datasets/fashion-mnist, where Debian's package does.
    pub folder: Option<PathBuf>,
    /// Height and width of the network's input, in pixels; images are resized to it bilinearly. Default: 96.
    #[schemars(range(min = 1, max = 4096))]
    pub resolution_px: u32,
    /// Mean of the training images per channel, on the scale 0 to 1; subtracted from each image. Default: that of the
    /// data set, recorded in the run's config.toml.
    pub mean: Option<Vec<f64>>,
    /// Standard deviation of the training images per channel, on the scale 0 to 1; each image is divided by it.
    /// Default: that of the data set, recorded in the run's config.toml.
    pub std: Option<Vec<f64>>,
    /// Probability that a training image is mirrored left to right, 0 to 1. Default: 0.0.
    pub horizontal_flip_probability: f64,
    /// Zero padding on each side before a random crop back to the stored size, in pixels of the stored image;
    /// 0 disables it. Default: 0.
    #[schemars(range(min = 0, max = 4096))]
    pub random_crop_padding_px: u32,
    /// Number of training images (synthetic only, and required there). Default: unset.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub synthetic_train_images: Option<usize>,
    /// Number of validation images (synthetic only, and required there). Default: unset.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub synthetic_val_images: Option<usize>,
    /// Number of channels of an image (synthetic only). Default: 3.
    #[schemars(range(min = 1, max = 256))]
    pub synthetic_channels: u32,
    /// Number of classes (synthetic only). Default: 1000.
    #[schemars(range(min = 2, max = 100_000))]
    pub synthetic_classes: u32,
}

impl Default for RawData {
    fn default() -> Self {
        Self {
            dataset: None,
            folder: None,
            resolution_px: 96,
            mean: None,
            std: None,
            horizontal_flip_probability: 0.0,
            random_crop_padding_px: 0,
            synthetic_train_images: None,
            synthetic_val_images: None,
            synthetic_channels: 3,
            synthetic_classes: 1000,
        }
    }
}

/// Resolved `[data]`: the training and validation images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataSettings {
    /// Source of the images.
    #[serde(flatten)]
    pub source: DataSource,
    /// Height and width of the network's input, in pixels.
    pub resolution_px: u32,
    /// Mean per channel on the scale 0 to 1; one value for each input channel.
    pub mean: Vec<f64>,
    /// Standard deviation per channel on the scale 0 to 1, above 0; one value for each input channel.
    pub std: Vec<f64>,
    /// Probability that a training image is mirrored left to right, 0 to 1.
    pub horizontal_flip_probability: f64,
    /// Padding before a random crop, in pixels of the stored image; 0 disables it.
    pub random_crop_padding_px: u32,
}

/// Source of the images.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "dataset", rename_all = "snake_case")]
pub enum DataSource {
    /// Images generated from a seed.
    Synthetic {
        /// Number of training images, at least 1.
        #[serde(rename = "synthetic_train_images")]
        train_images: usize,
        /// Number of validation images, at least 1.
        #[serde(rename = "synthetic_val_images")]
        val_images: usize,
        /// Number of channels of an image.
        #[serde(rename = "synthetic_channels")]
        channels: u32,
        /// Number of classes.
        #[serde(rename = "synthetic_classes")]
        classes: u32,
    },
    /// The files of a known data set.
    #[serde(untagged)]
    Files {
        /// The data set's name.
        dataset: DatasetName,
        /// Folder that contains the files.
        folder: PathBuf,
    },
}

impl RawData {
    /// Resolves the source of the images; `kept` is the recipe of the run that is resumed.
    ///
    /// # Errors
    /// A key that does not belong to the chosen source. Missing keys are noted in `required`.
    pub(crate) fn source(
        &self,
        kept: Option<&Recipe>,
        required: &Required,
    ) -> Result<DataSource, RecipeError> {
        required.note_unset_in("data");
        let places = required.places;
        let Some(name) = self.dataset else {
            return Ok(DataSource::Files { dataset: DatasetName::FashionMnist, folder: PathBuf::new() });
        };
        if name != SourceName::Synthetic {
            let keys = ["train_images", "val_images", "channels", "classes"];
            let keys = keys.map(|key| format!("data.synthetic_{key}"));
            places.refuse_typed(keys.iter().map(String::as_str), "data.dataset", r#""synthetic""#)?;
        }
        let folder = self.folder.clone();
        match name {
            SourceName::Files(dataset) => {
                let folder = folder.or_else(|| data_folder::of(dataset, kept));
                let accepted = format!("the folder of {}'s files", dataset.facts().title);
                Ok(DataSource::Files { dataset, folder: required.value(folder, "data.folder", &accepted) })
            }
            SourceName::Synthetic => {
                let words = schema::key_at("data.dataset").map_or(&[][..], |key| &key.choices[..]);
                let of_files: Vec<_> =
                    words.iter().filter(|&word| word != r#""synthetic""#).cloned().collect();
                places.refuse_typed(["data.folder"], "data.dataset", &one_of(&of_files))?;
                let count = |value, key: &str| required.value(value, key, "a number of images, at least 1");
                Ok(DataSource::Synthetic {
                    train_images: count(self.synthetic_train_images, "data.synthetic_train_images"),
                    val_images: count(self.synthetic_val_images, "data.synthetic_val_images"),
                    channels: self.synthetic_channels,
                    classes: self.synthetic_classes,
                })
            }
        }
    }

    /// Fills in the mean and standard deviation of `source` where the recipe sets none.
    pub(crate) fn resolve(self, source: DataSource, in_channels: u32) -> DataSettings {
        let (mean, std) = source.mean_and_std();
        let for_each_channel =
            |values: &[f64]| values.iter().copied().cycle().take(in_channels as usize).collect();
        DataSettings {
            source,
            resolution_px: self.resolution_px,
            mean: self.mean.unwrap_or_else(|| for_each_channel(mean)),
            std: self.std.unwrap_or_else(|| for_each_channel(std)),
            horizontal_flip_probability: self.horizontal_flip_probability,
            random_crop_padding_px: self.random_crop_padding_px,
        }
    }
}

impl DataSettings {
    /// Checks these settings for a network with `in_channels` input channels.
    ///
    /// # Errors
    /// A value out of its range, or a mean or standard deviation without one value per channel.
    pub(crate) fn check(&self, in_channels: u32, places: &Places) -> Checked {
        let flip = self.horizontal_flip_probability;
        places.require_in(&FRACTION, "data.horizontal_flip_probability", flip)?;
        for (key, values) in [("data.mean", &self.mean), ("data.std", &self.std)] {
            let accepted =
                format!("a list of numbers, one for each channel (model.in_channels = {in_channels})");
            places.require(values.len() == in_channels as usize, key, values, &accepted)?;
        }
        let is_positive = self.std.iter().all(|&std| std > 0.0);
        places.require(
            is_positive,
            "data.std",
            &self.std,
            "numbers above 0, since images are divided by them",
        )
    }
}
