//! The recipe's data set, opened: its training and its validation images.

use std::path::Path;

use anyhow::Result;
use regatta_data::{
    Dataset, FASHION_MNIST, IdxDataset, IdxSource, ImageShape, MNIST, Split, SyntheticDataset,
    SyntheticSettings,
};
use regatta_settings::{DataSource, DatasetFacts, Recipe};

/// Both splits.
pub(crate) struct Datasets {
    pub(crate) train: Box<dyn Dataset>,
    pub(crate) validation: Box<dyn Dataset>,
}

impl Datasets {
    /// Opens what the recipe names and makes sure that the recipe fits it.
    pub(crate) fn open(recipe: &Recipe) -> Result<Self> {
        let datasets = match &recipe.data.source {
            DataSource::FashionMnist { folder } => Self::open_idx(&FASHION_MNIST, folder)?,
            DataSource::Mnist { folder } => Self::open_idx(&MNIST, folder)?,
            DataSource::Synthetic { .. } => Self::synthetic(recipe),
        };
        recipe.check_dataset(&datasets.facts())?;
        Ok(datasets)
    }

    fn open_idx(source: &IdxSource, folder: &Path) -> Result<Self> {
        let open = |split| IdxDataset::open(source, folder, split);
        Ok(Self { train: Box::new(open(Split::Train)?), validation: Box::new(open(Split::Validation)?) })
    }

    fn synthetic(recipe: &Recipe) -> Self {
        let DataSource::Synthetic { train_images, val_images, channels, classes } = recipe.data.source else {
            unreachable!("called for synthetic data only");
        };
        let side = recipe.data.resolution_px as usize;
        let make = |images, split| {
            let shape = ImageShape { channels: channels as usize, height: side, width: side };
            let settings =
                SyntheticSettings { images, shape, classes: classes as usize, seed: recipe.train.seed };
            Box::new(SyntheticDataset::new(settings, split))
        };
        Self { train: make(train_images, Split::Train), validation: make(val_images, Split::Validation) }
    }

    fn facts(&self) -> DatasetFacts {
        DatasetFacts {
            train_images: self.train.len(),
            val_images: self.validation.len(),
            channels: self.train.shape().channels as u32,
            classes: self.train.classes() as u32,
        }
    }
}
