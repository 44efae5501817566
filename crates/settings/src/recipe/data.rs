//! `[data]`: its keys, normalisation and the sizes of images, and their checks; `source.rs` has the source of the images,
//! `resolution.rs` the sizes of the training images over the epochs.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::{ChannelOrder, Filter, JpegMode, OnBadImage, ResolutionCourse, Shuffle, SourceName};
use crate::error::RecipeError;
use crate::interval::{Checked, FRACTION};
use crate::place::Places;
use crate::recipe::{DataSource, RawResolutionStep, Resolution};

/// Largest value of `data.val_resize_px`.
pub const MAX_RESIZE_PX: u32 = 8192;

/// `[data]`: the training and validation images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawData {
    /// Source of the images: the files of a known data set, "image_folder" for image files in a folder for each class
    /// under train/ and val/, "tar_shards" for tar archives of images and labels (WebDataset), or "synthetic", which
    /// generates images from a seed. Required.
    pub dataset: Option<SourceName>,
    /// Folder that contains the data set's files (not for synthetic; required for all but fashion_mnist). Default: for
    /// fashion_mnist datasets/fashion-mnist in the working folder or the checkout, where `make` puts them, else
    /// /usr/share/datasets/fashion-mnist, where Debian's package does.
    pub folder: Option<PathBuf>,
    /// File with the labels of the images in val/, if that folder has no class folders (image_folder only): lines of a
    /// file name and a class name. Default: unset.
    pub val_labels: Option<PathBuf>,
    /// Archives of the training split below data.folder (tar_shards only, and required there), with brace ranges such as
    /// "train-{000000..000146}.tar". Default: unset.
    pub train_shards: Option<String>,
    /// Archives of the validation split below data.folder (tar_shards only, and required there). Default: unset.
    pub val_shards: Option<String>,
    /// Order of the training images (tar_shards only): "global" permutes all of them and reads them one by one, "shards"
    /// permutes the archives, and the images within windows of archives, which are read in large pieces.
    /// Default: "global".
    pub shuffle: Option<Shuffle>,
    /// Number of archives in a window of shuffle = "shards". Default: 8.
    #[schemars(range(min = 1, max = 10_000))]
    pub shuffle_window_shards: Option<u32>,
    /// Folder on a local disk to which the archives are copied before training, once on each host (tar_shards only).
    /// Default: unset, they are read where they are.
    pub stage_folder: Option<PathBuf>,
    /// Height and width of the network's input in training, in pixels. Default: 96.
    #[schemars(range(min = 1, max = 4096))]
    pub resolution_px: u32,
    /// Sizes of the network's input in training over the epochs, in place of resolution_px: a list of tables such as
    /// [{ after_epochs = 0, px = 128 }, { after_epochs = 10, px = 224 }]. Default: unset, resolution_px in every epoch.
    pub resolution: Vec<RawResolutionStep>,
    /// How the size changes between the entries of data.resolution: "steps" keeps an entry's size until the next one,
    /// "linear" interpolates it epoch by epoch. Default: "steps".
    pub resolution_course: ResolutionCourse,
    /// Multiple to which interpolated sizes are rounded, a half to the even multiple, in pixels (linear only).
    /// Default: 32.
    #[schemars(range(min = 1, max = 4096))]
    pub resolution_multiple_px: u32,
    /// Height and width of the network's input in evaluation, in pixels. Default: resolution_px, or the largest size in
    /// resolution.
    #[schemars(range(min = 1, max = 4096))]
    pub val_resolution_px: Option<u32>,
    /// Shorter side to which an image is resized before the centre crop of evaluation, in pixels (image_folder and
    /// tar_shards only). Default: val_resolution_px * 256 / 224, rounded.
    #[schemars(range(min = 1, max = MAX_RESIZE_PX))]
    pub val_resize_px: Option<u32>,
    /// Filter for resizing images of image_folder and tar_shards, and random resized crops. Default: "bilinear".
    pub interpolation: Filter,
    /// Whether the filter covers all pixels of the image when it is made smaller, as PIL and torchvision do; false is the
    /// way of OpenCV and pycls. Default: true.
    pub antialias: bool,
    /// Order of the colour channels in the network's input; pycls's published weights expect "bgr". Default: "rgb".
    pub channel_order: ChannelOrder,
    /// How JPEG images are decoded: "exact" gives the bytes of a full decode, "fast" computes a smaller image where the
    /// crop is at least twice as large as the result, with a less precise transform. Default: "exact".
    pub jpeg: JpegMode,
    /// Mean of the training images per channel of the network's input, on the scale 0 to 1; subtracted from each image.
    /// Default: that of the data set, recorded in the run's config.toml.
    pub mean: Option<Vec<f64>>,
    /// Standard deviation of the training images per channel of the network's input, on the scale 0 to 1; each image is
    /// divided by it. Default: that of the data set, recorded in the run's config.toml.
    pub std: Option<Vec<f64>>,
    /// Number of threads of each rank that read and decode images; 0 means the rank's cores less one with a GPU, and one
    /// on a CPU. Default: 0.
    #[schemars(range(min = 0, max = 1024))]
    pub workers: usize,
    /// Number of micro-batches that are assembled ahead of the step. Default: 4.
    #[schemars(range(min = 1, max = 1024))]
    pub prefetch_batches: usize,
    /// What happens when an image cannot be read: "error" ends the run, "skip" logs it, counts it in the metrics and takes
    /// another image instead. Default: "error".
    pub on_bad_image: OnBadImage,
    /// Fraction of a split's images, 0 to 1, that may be skipped before the run ends (on_bad_image = "skip").
    /// Default: 0.01.
    pub max_bad_fraction: f64,
    /// Number of training images that are used: always the same pseudo-random ones, among them those of any smaller number.
    /// Default: unset, all.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub limit_train_images: Option<usize>,
    /// Number of validation images that are used, chosen likewise. Default: unset, all.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub limit_val_images: Option<usize>,
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
            val_labels: None,
            train_shards: None,
            val_shards: None,
            shuffle: None,
            shuffle_window_shards: None,
            stage_folder: None,
            resolution_px: 96,
            resolution: Vec::new(),
            resolution_course: ResolutionCourse::Steps,
            resolution_multiple_px: 32,
            val_resolution_px: None,
            val_resize_px: None,
            interpolation: Filter::Bilinear,
            antialias: true,
            channel_order: ChannelOrder::Rgb,
            jpeg: JpegMode::Exact,
            mean: None,
            std: None,
            workers: 0,
            prefetch_batches: 4,
            on_bad_image: OnBadImage::Error,
            max_bad_fraction: 0.01,
            limit_train_images: None,
            limit_val_images: None,
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
    /// Sizes of the network's input in training over the epochs.
    #[serde(flatten)]
    pub resolution: Resolution,
    /// Largest height and width of the network's input in training, in pixels.
    #[serde(skip)]
    pub resolution_px: u32,
    /// Height and width of the network's input in evaluation, in pixels.
    pub val_resolution_px: u32,
    /// Shorter side before the centre crop of evaluation, in pixels; set for image files only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_resize_px: Option<u32>,
    /// Filter for resizing.
    pub interpolation: Filter,
    /// Whether the filter covers all pixels when an image is made smaller.
    pub antialias: bool,
    /// Order of the colour channels in the network's input.
    pub channel_order: ChannelOrder,
    /// How JPEG images are decoded.
    pub jpeg: JpegMode,
    /// Mean per channel on the scale 0 to 1; one value for each input channel.
    pub mean: Vec<f64>,
    /// Standard deviation per channel on the scale 0 to 1, above 0; one value for each input channel.
    pub std: Vec<f64>,
    /// Number of threads that read and decode images; 0 means automatic.
    pub workers: usize,
    /// Number of micro-batches that are assembled ahead of the step.
    pub prefetch_batches: usize,
    /// What happens when an image cannot be read.
    pub on_bad_image: OnBadImage,
    /// Fraction of a split's images that may be skipped, 0 to 1.
    pub max_bad_fraction: f64,
    /// Number of training images that are used, if not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_train_images: Option<usize>,
    /// Number of validation images that are used, if not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_val_images: Option<usize>,
}

impl RawData {
    /// Fills in the values that depend on `source` and `resolution` where the recipe sets none.
    ///
    /// # Errors
    /// A key that does not belong to the chosen source.
    pub(crate) fn resolve(
        self,
        source: DataSource,
        resolution: Resolution,
        in_channels: u32,
        places: &Places,
    ) -> Result<DataSettings, RecipeError> {
        let (mean, std) = source.mean_and_std();
        let for_each_channel = |values: &[f64]| -> Vec<f64> {
            let values = values.iter().copied().cycle().take(in_channels as usize);
            match self.channel_order {
                ChannelOrder::Rgb => values.collect(),
                ChannelOrder::Bgr => values.collect::<Vec<_>>().into_iter().rev().collect(),
            }
        };
        let (_, resolution_px) = resolution.bounds_px();
        let val_resolution_px = self.val_resolution_px.unwrap_or(resolution_px);
        let val_resize_px = if source.is_image_files() {
            Some(self.val_resize_px.unwrap_or((val_resolution_px * 256 + 112) / 224))
        } else {
            places.refuse_typed(["data.val_resize_px"], "data.dataset", DataSource::IMAGE_FILES)?;
            None
        };
        Ok(DataSettings {
            resolution,
            resolution_px,
            val_resolution_px,
            val_resize_px,
            interpolation: self.interpolation,
            antialias: self.antialias,
            channel_order: self.channel_order,
            jpeg: self.jpeg,
            mean: self.mean.clone().unwrap_or_else(|| for_each_channel(mean)),
            std: self.std.clone().unwrap_or_else(|| for_each_channel(std)),
            workers: self.workers,
            prefetch_batches: self.prefetch_batches,
            on_bad_image: self.on_bad_image,
            max_bad_fraction: self.max_bad_fraction,
            limit_train_images: self.limit_train_images,
            limit_val_images: self.limit_val_images,
            source,
        })
    }
}

impl DataSettings {
    /// Returns the number of training images that are used, if it is known without opening the files.
    pub fn train_images(&self) -> Option<usize> {
        self.limit_train_images.or(self.source.train_images())
    }

    /// Returns the shorter side before the centre crop for evaluation at `px` pixels, in the ratio of
    /// [`val_resize_px`](Self::val_resize_px) to [`val_resolution_px`](Self::val_resolution_px).
    pub fn val_resize_px_at(&self, px: u32) -> Option<u32> {
        let own = u64::from(self.val_resolution_px);
        self.val_resize_px.map(|side| ((u64::from(side) * u64::from(px) + own / 2) / own) as u32)
    }

    /// Checks these settings for a network with `in_channels` input channels.
    ///
    /// # Errors
    /// A value out of its range, or a mean or standard deviation without one value per channel.
    pub(crate) fn check(&self, in_channels: u32, places: &Places) -> Checked {
        self.source.check(places)?;
        if let (Some(images), DataSource::TarShards { shuffle: Shuffle::Shards, .. }) =
            (self.limit_train_images, &self.source)
        {
            let problem = format!(
                "data.limit_train_images = {images}, but data.shuffle = \"shards\" reads whole archives: name fewer archives in \
                 data.train_shards, or set data.shuffle to \"global\""
            );
            return Err(places.conflict("data.limit_train_images", problem));
        }
        places.require_in(&FRACTION, "data.max_bad_fraction", self.max_bad_fraction)?;
        for (key, values) in [("data.mean", &self.mean), ("data.std", &self.std)] {
            let accepted =
                format!("a list of numbers, one for each channel (model.in_channels = {in_channels})");
            places.require(values.len() == in_channels as usize, key, values, &accepted)?;
        }
        let is_positive = self.std.iter().all(|&std| std > 0.0);
        let accepted = "numbers above 0, since images are divided by them";
        places.require(is_positive, "data.std", &self.std, accepted)?;
        if let Some(side) = self.val_resize_px {
            let accepted = format!(
                "an integer from {0} (data.val_resolution_px) to {MAX_RESIZE_PX}",
                self.val_resolution_px
            );
            places.require(side >= self.val_resolution_px, "data.val_resize_px", side, &accepted)?;
        }
        if self.channel_order == ChannelOrder::Bgr && in_channels != 3 {
            let problem =
                format!("data.channel_order = \"bgr\" needs three channels, but there are {in_channels}");
            return Err(places.conflict("data.channel_order", problem));
        }
        Ok(())
    }
}
