//! The source of the images in `[data]`: which keys belong to it, and what they resolve to.

use std::path::PathBuf;

use regatta_data::{DatasetName, check_shard_pattern};
use serde::Serialize;

use crate::choice::{Shuffle, SourceName};
use crate::data_folder;
use crate::error::RecipeError;
use crate::interval::Checked;
use crate::place::Places;
use crate::recipe::{RawData, Recipe};
use crate::required::Required;
use crate::schema::{self, one_of};

/// Default of `data.shuffle_window_shards`.
const WINDOW_SHARDS: u32 = 8;
/// What a pattern of archives looks like.
const PATTERN: &str = "the names of archives, such as \"train-{000000..000146}.tar\"";
/// Keys of tar_shards alone.
const OF_SHARDS: [&str; 5] = [
    "data.train_shards",
    "data.val_shards",
    "data.shuffle",
    "data.shuffle_window_shards",
    "data.stage_folder",
];
/// Keys of synthetic alone.
const OF_SYNTHETIC: [&str; 4] = [
    "data.synthetic_train_images",
    "data.synthetic_val_images",
    "data.synthetic_channels",
    "data.synthetic_classes",
];

/// Source of the images.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "dataset", rename_all = "snake_case")]
pub enum DataSource {
    /// Image files in a folder for each class, under `train/` and `val/`.
    ImageFolder {
        /// Folder that contains `train/` and `val/`.
        folder: PathBuf,
        /// File with the labels of the images in `val/`, if that has no class folders.
        #[serde(skip_serializing_if = "Option::is_none")]
        val_labels: Option<PathBuf>,
    },
    /// Image files and labels in tar archives.
    TarShards {
        /// Folder that contains the archives.
        folder: PathBuf,
        /// Pattern of the training split's archives, relative to `folder`.
        train_shards: String,
        /// Pattern of the validation split's archives, relative to `folder`.
        val_shards: String,
        /// Order of the training images.
        shuffle: Shuffle,
        /// Number of archives in a window of [`Shuffle::Shards`].
        shuffle_window_shards: u32,
        /// Folder on a local disk to which the archives are copied first.
        #[serde(skip_serializing_if = "Option::is_none")]
        stage_folder: Option<PathBuf>,
    },
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

impl DataSource {
    /// The values of `data.dataset` whose images are files of their own size.
    pub(crate) const IMAGE_FILES: &str = r#""image_folder" or "tar_shards""#;

    /// Returns whether the images are JPEG, PNG or WebP files of any size, which are cropped and resized when read.
    pub fn is_image_files(&self) -> bool {
        matches!(self, Self::ImageFolder { .. } | Self::TarShards { .. })
    }

    /// Checks the patterns of archives.
    ///
    /// # Errors
    /// A pattern whose braces are invalid.
    pub(crate) fn check(&self, places: &Places) -> Checked {
        let Self::TarShards { train_shards, val_shards, .. } = self else { return Ok(()) };
        for (key, pattern) in [("data.train_shards", train_shards), ("data.val_shards", val_shards)] {
            let checked = check_shard_pattern(pattern);
            let accepted = format!("{PATTERN} ({})", checked.err().unwrap_or_default());
            places.require(checked.is_ok(), key, pattern, &accepted)?;
        }
        Ok(())
    }
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
        let Some(name) = self.dataset else {
            return Ok(DataSource::Files { dataset: DatasetName::FashionMnist, folder: PathBuf::new() });
        };
        self.refuse_keys_of_others(name, required)?;
        let folder = self.folder.clone();
        Ok(match name {
            SourceName::Files(dataset) => {
                let folder = folder.or_else(|| data_folder::of(dataset, kept));
                let accepted = format!("the folder of {}'s files", dataset.facts().title);
                DataSource::Files { dataset, folder: required.value(folder, "data.folder", &accepted) }
            }
            SourceName::ImageFolder => DataSource::ImageFolder {
                folder: required.value(folder, "data.folder", "the folder that contains train/ and val/"),
                val_labels: self.val_labels.clone(),
            },
            SourceName::TarShards => self.shards(required),
            SourceName::Synthetic => {
                let count = |value, key: &str| required.value(value, key, "a number of images, at least 1");
                DataSource::Synthetic {
                    train_images: count(self.synthetic_train_images, "data.synthetic_train_images"),
                    val_images: count(self.synthetic_val_images, "data.synthetic_val_images"),
                    channels: self.synthetic_channels,
                    classes: self.synthetic_classes,
                }
            }
        })
    }

    fn shards(&self, required: &Required) -> DataSource {
        let pattern = |value: &Option<String>, key: &str| required.value(value.clone(), key, PATTERN);
        let folder =
            required.value(self.folder.clone(), "data.folder", "the folder that contains the archives");
        DataSource::TarShards {
            folder,
            train_shards: pattern(&self.train_shards, "data.train_shards"),
            val_shards: pattern(&self.val_shards, "data.val_shards"),
            shuffle: self.shuffle.unwrap_or(Shuffle::Global),
            shuffle_window_shards: self.shuffle_window_shards.unwrap_or(WINDOW_SHARDS),
            stage_folder: self.stage_folder.clone(),
        }
    }

    /// Rejects keys that belong to another source than `name`.
    fn refuse_keys_of_others(&self, name: SourceName, required: &Required) -> Result<(), RecipeError> {
        let refuse = |keys: &[&str], choice: &str| {
            required.places.refuse_typed(keys.iter().copied(), "data.dataset", choice)
        };
        if name == SourceName::Synthetic {
            let words = schema::key_at("data.dataset").map_or(&[][..], |key| &key.choices[..]);
            let of_files: Vec<_> = words.iter().filter(|&word| word != r#""synthetic""#).cloned().collect();
            refuse(&["data.folder"], &one_of(&of_files))?;
        } else {
            refuse(&OF_SYNTHETIC, r#""synthetic""#)?;
        }
        if name != SourceName::TarShards {
            refuse(&OF_SHARDS, r#""tar_shards""#)?;
        }
        if name != SourceName::ImageFolder {
            refuse(&["data.val_labels"], r#""image_folder""#)?;
        }
        Ok(())
    }
}
