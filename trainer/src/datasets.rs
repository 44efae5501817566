//! Opens the training and validation images of the recipe's data set.

use std::sync::Arc;

use anyhow::Result;
use regatta_data::{Encoding, ImageShape, Source, Split, SyntheticDataset, SyntheticSettings};
use regatta_settings::{DataSource, DatasetFacts, Recipe};

/// The training and validation splits of a data set.
pub(crate) struct Datasets {
    pub(crate) train: Arc<dyn Source>,
    pub(crate) validation: Arc<dyn Source>,
}

impl Datasets {
    /// Opens the recipe's data set and checks that the recipe fits it.
    ///
    /// # Errors
    /// Files that are missing or damaged, or a recipe that does not fit the data.
    pub(crate) fn open(recipe: &Recipe) -> Result<Self> {
        let open = |split| {
            Ok::<Arc<dyn Source>, anyhow::Error>(match &recipe.data.source {
                DataSource::Files { dataset, folder } => Arc::from(dataset.facts().open(folder, split)?),
                DataSource::Synthetic { .. } => Arc::new(synthetic(recipe, split)),
            })
        };
        let datasets = Self { train: open(Split::Train)?, validation: open(Split::Validation)? };
        recipe.check_dataset(&datasets.facts())?;
        Ok(datasets)
    }

    /// Returns the images of a split.
    pub(crate) fn of(&self, split: Split) -> &Arc<dyn Source> {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
        }
    }

    fn facts(&self) -> DatasetFacts {
        let Encoding::Pixels(shape) = self.train.encoding();
        DatasetFacts {
            train_images: self.train.len(),
            val_images: self.validation.len(),
            channels: shape.channels as u32,
            classes: self.train.classes() as u32,
        }
    }
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
