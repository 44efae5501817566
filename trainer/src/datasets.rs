//! Opens the training and validation images of the recipe's data set. Rank 0 reads the lists of image files for all ranks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use regatta_comm::World;
use regatta_data::{
    DataError, FolderIndex, ImageFolder, ImageShape, Indexing, ReadAhead, ShardIndex, Skipped, Source, Split,
    Subset, SyntheticDataset, SyntheticSettings, TarShards, WindowedOrder, expand_shards, stage,
    user_cache_folder,
};
use regatta_run_folder::counted;
use regatta_settings::{DataSource, DatasetFacts, Recipe, Shuffle};
use serde::{Deserialize, Serialize};

use crate::failure::together;
use crate::telemetry::counting_bar;

/// The training and validation splits of a data set.
pub(crate) struct Datasets {
    pub(crate) train: Arc<dyn Source>,
    pub(crate) validation: Arc<dyn Source>,
    /// The order of training images by windows of archives, if the recipe asks for it.
    pub(crate) windows: Option<Arc<Windows>>,
    /// Hash of the lists of image files, in hexadecimal. None for data sets that have none.
    pub(crate) list_hash: Option<String>,
    /// Files in class folders that are not used, as a line for the log.
    pub(crate) unused_files: Option<String>,
}

/// The order of training images by windows of archives, and the thread that reads the archives before they are due.
pub(crate) struct Windows {
    pub(crate) order: WindowedOrder,
    pub(crate) read_ahead: ReadAhead,
}

/// The lists of a data set's image files, as bytes that travel between ranks.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Lists {
    train: Vec<u8>,
    validation: Vec<u8>,
}

impl Datasets {
    /// Opens the recipe's data set on all ranks and checks that the recipe fits it. A collective.
    ///
    /// # Errors
    /// Files that are missing or damaged, or a recipe that does not fit the data.
    pub(crate) fn open(recipe: &Recipe, world: &World) -> Result<Self> {
        let lists = if world.rank() == 0 { Lists::read(&recipe.data.source) } else { Ok(Lists::default()) };
        let lists = world.share(together(lists, world)?)?;
        if world.local_rank() == 0 {
            together(stage_shards(&recipe.data.source), world)?;
        } else {
            together(Ok(()), world)?;
        }
        let datasets = Self::of_lists(recipe, &lists).and_then(|datasets| {
            recipe.check_dataset(&datasets.facts())?;
            Ok(datasets.limited(recipe))
        });
        together(datasets, world)
    }

    /// Returns the images of a split.
    pub(crate) fn of(&self, split: Split) -> &Arc<dyn Source> {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
        }
    }

    /// Returns the names of the classes in the order of their labels, if the data set names them.
    pub(crate) fn class_names(&self) -> Option<&[String]> {
        self.train.class_names()
    }

    /// Returns a data set without lists of files.
    #[cfg(test)]
    pub(crate) fn without_lists(train: Arc<dyn Source>, validation: Arc<dyn Source>) -> Self {
        Self { train, validation, windows: None, list_hash: None, unused_files: None }
    }

    fn of_lists(recipe: &Recipe, lists: &Lists) -> Result<Self> {
        let (mut windows, mut list_hash, mut unused_files) = (None, None, None);
        let (train, validation): (Arc<dyn Source>, Arc<dyn Source>) = match &recipe.data.source {
            DataSource::Files { dataset, folder } => {
                let open = |split| dataset.facts().open(folder, split).map(Arc::from);
                (open(Split::Train)?, open(Split::Validation)?)
            }
            DataSource::Synthetic { .. } => {
                (Arc::new(synthetic(recipe, Split::Train)), Arc::new(synthetic(recipe, Split::Validation)))
            }
            DataSource::ImageFolder { folder, .. } => {
                let train = FolderIndex::from_bytes(&lists.train)?;
                let validation = FolderIndex::from_bytes(&lists.validation)?;
                list_hash = Some(hex(&train.hash(), &validation.hash()));
                unused_files = unused(&[train.skipped(), validation.skipped()]);
                (
                    Arc::new(ImageFolder::new(folder, Split::Train, train)),
                    Arc::new(ImageFolder::new(folder, Split::Validation, validation)),
                )
            }
            source @ DataSource::TarShards { shuffle, shuffle_window_shards, .. } => {
                let train = ShardIndex::from_bytes(&lists.train)?;
                let validation = ShardIndex::from_bytes(&lists.validation)?;
                list_hash = Some(hex(&train.hash(), &validation.hash()));
                let shards = staged(source, Split::Train)?;
                if *shuffle == Shuffle::Shards {
                    let window_shards = *shuffle_window_shards as usize;
                    windows =
                        Some(Arc::new(Windows::new(&train, &shards, window_shards, recipe.train.seed)?));
                }
                let validation = TarShards::new(staged(source, Split::Validation)?, validation);
                (Arc::new(TarShards::new(shards, train)), Arc::new(validation))
            }
        };
        Ok(Self { train, validation, windows, list_hash, unused_files })
    }

    /// Reduces both splits to the numbers of images in the recipe, if it has them, which are not above those of the splits.
    fn limited(mut self, recipe: &Recipe) -> Self {
        let limit = |source: &mut Arc<dyn Source>, images: Option<usize>, split| {
            if let Some(images) = images {
                *source = Arc::new(Subset::new(Arc::clone(source), images, split));
            }
        };
        limit(&mut self.train, recipe.data.limit_train_images, Split::Train);
        limit(&mut self.validation, recipe.data.limit_val_images, Split::Validation);
        self
    }

    fn facts(&self) -> DatasetFacts {
        DatasetFacts {
            train_images: self.train.len(),
            val_images: self.validation.len(),
            channels: self.train.encoding().channels() as u32,
            classes: self.train.classes() as u32,
        }
    }
}

/// Opens one split in this process alone, all of it, for a command that does not train. The recipe is not checked against it.
///
/// # Errors
/// Files that are missing or damaged.
pub(crate) fn open_alone(recipe: &Recipe, split: Split) -> Result<Arc<dyn Source>> {
    stage_shards(&recipe.data.source)?;
    let datasets = Datasets::of_lists(recipe, &Lists::read(&recipe.data.source)?)?;
    Ok(Arc::clone(datasets.of(split)))
}

impl Windows {
    fn new(index: &ShardIndex, shards: &[PathBuf], window_shards: usize, seed: u64) -> Result<Self> {
        let images = (0..index.shards()).map(|shard| index.images_of(shard));
        let order = WindowedOrder::new(images, window_shards, seed);
        let read_ahead = ReadAhead::start(shards.to_vec(), order.clone());
        Ok(Self {
            order,
            read_ahead: read_ahead.context("cannot start the thread that reads archives ahead")?,
        })
    }
}

impl Lists {
    /// Reads the lists from their cache, or builds and caches them. Empty for data sets that have none.
    fn read(source: &DataSource) -> Result<Self> {
        with_indexing(|indexing| Self::read_with(source, indexing))
    }

    fn read_with(source: &DataSource, indexing: &Indexing) -> Result<Self> {
        Ok(match source {
            DataSource::Files { .. } | DataSource::Synthetic { .. } => Self::default(),
            DataSource::ImageFolder { folder, val_labels } => {
                let (train, _) = FolderIndex::train(folder, indexing)?;
                let labels = val_labels.as_deref();
                let (validation, _) = FolderIndex::validation(folder, labels, &train, indexing)?;
                Self { train: train.to_bytes(), validation: validation.to_bytes() }
            }
            DataSource::TarShards { .. } => {
                let (train, _) = ShardIndex::train(&shards(source, Split::Train)?, indexing)?;
                let validation = shards(source, Split::Validation)?;
                let (validation, _) = ShardIndex::validation(&validation, &train, indexing)?;
                Self { train: train.to_bytes(), validation: validation.to_bytes() }
            }
        })
    }
}

/// Calls `read` with the user's cache folder and a bar that shows how many folders or archives were listed.
pub(crate) fn with_indexing<T>(read: impl FnOnce(&Indexing) -> Result<T>) -> Result<T> {
    let cache = user_cache_folder(|name| std::env::var_os(name));
    let bar = counting_bar("listing images");
    let progress = |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    let outcome = read(&Indexing { user_cache: cache.as_deref(), progress: &progress });
    bar.finish_and_clear();
    outcome
}

/// Says how many files of other formats there are, and names one.
fn unused(skipped: &[&Skipped]) -> Option<String> {
    let example = &skipped.iter().find(|skipped| skipped.files > 0)?.example;
    let files = counted(skipped.iter().map(|skipped| skipped.files).sum::<u64>(), "file");
    Some(format!(
        "{files} in class folders not used, since not .jpg, .jpeg, .png or .webp: {example} for one"
    ))
}

/// Returns the archives of a split, where the recipe has them.
fn shards(source: &DataSource, split: Split) -> Result<Vec<PathBuf>, DataError> {
    let DataSource::TarShards { folder, train_shards, val_shards, .. } = source else {
        return Ok(Vec::new());
    };
    let pattern = if split == Split::Train { train_shards } else { val_shards };
    Ok(expand_shards(folder, pattern)?)
}

/// Copies the archives of both splits to the recipe's folder on a local disk, if it names one.
fn stage_shards(source: &DataSource) -> Result<()> {
    if let DataSource::TarShards { stage_folder: Some(local), .. } = source {
        let bar = counting_bar("copying archives");
        for split in [Split::Train, Split::Validation] {
            let progress = |done, total| {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
            };
            stage(&shards(source, split)?, &stage_folder_of(local, split), &progress)?;
        }
        bar.finish_and_clear();
    }
    Ok(())
}

/// Returns the archives of a split from which images are read: the local copies, if there are any.
fn staged(source: &DataSource, split: Split) -> Result<Vec<PathBuf>, DataError> {
    let shards = shards(source, split)?;
    let DataSource::TarShards { stage_folder: Some(local), .. } = source else { return Ok(shards) };
    let local = stage_folder_of(local, split);
    Ok(shards.iter().map(|shard| local.join(shard.file_name().unwrap_or_default())).collect())
}

/// Returns the folder of a split's local copies: archives of both splits may have the same names.
fn stage_folder_of(local: &Path, split: Split) -> PathBuf {
    local.join(if split == Split::Train { "train" } else { "val" })
}

/// Combines the first 16 bytes of two hashes, in hexadecimal.
fn hex(train: &[u8; 32], validation: &[u8; 32]) -> String {
    let pairs = train.iter().zip(validation).take(16);
    pairs.map(|(train, validation)| format!("{:02x}", train ^ validation.rotate_left(1))).collect()
}

fn synthetic(recipe: &Recipe, split: Split) -> SyntheticDataset {
    let DataSource::Synthetic { train_images, val_images, channels, classes } = recipe.data.source else {
        unreachable!("called for synthetic data only");
    };
    let images = match split {
        Split::Train => train_images,
        Split::Validation => val_images,
    };
    let side = recipe.data.resolution_px as usize;
    let shape = ImageShape { channels: channels as usize, height: side, width: side };
    let settings = SyntheticSettings { images, shape, classes: classes as usize, seed: recipe.train.seed };
    SyntheticDataset::new(settings, split)
}
