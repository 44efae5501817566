//! The images of a segment, read and prepared in the size that its epoch has.

use std::rc::Rc;
use std::sync::Arc;

use regatta_data::{Images, Source, Split};
use regatta_settings::Recipe;
use tch::Device;

use crate::datasets::Datasets;
use crate::input;
use crate::preparation::Preparation;

/// The images of a split in one size, and what is done to them on the device.
pub(super) struct Prepared {
    pub(super) images: Arc<Images>,
    pub(super) preparation: Preparation,
}

/// The images of both splits. Of the training images only the last requested size is kept; micro-batches on their way keep
/// theirs.
pub(super) struct Splits {
    recipe: Recipe,
    device: Device,
    training_source: Arc<dyn Source>,
    /// The training images, and their height and width in pixels.
    training: Option<(u32, Rc<Prepared>)>,
    validation: Rc<Prepared>,
}

impl Prepared {
    fn new(recipe: &Recipe, source: &Arc<dyn Source>, split: Split, px: u32, device: Device) -> Self {
        let images = input::images_of_size(recipe, Arc::clone(source), split, px);
        let (shape, work) = (images.shape(), images.device_work());
        let preparation = Preparation::new(recipe, shape, px, work, device);
        Self { images: Arc::new(images), preparation }
    }
}

impl Splits {
    pub(super) fn new(recipe: &Recipe, datasets: &Datasets, device: Device) -> Self {
        let (split, px) = (Split::Validation, recipe.data.val_resolution_px);
        Self {
            recipe: recipe.clone(),
            device,
            training_source: Arc::clone(datasets.of(Split::Train)),
            training: None,
            validation: Rc::new(Prepared::new(recipe, datasets.of(split), split, px, device)),
        }
    }

    /// Returns the images of a segment of `split` in an epoch, counted from 0.
    pub(super) fn of(&mut self, split: Split, epoch: u64) -> Rc<Prepared> {
        if split == Split::Validation {
            return Rc::clone(&self.validation);
        }
        let px = input::resolution_px(&self.recipe, split, epoch);
        let kept = self.training.take_if(|(kept_px, _)| *kept_px == px);
        let (_, prepared) = self.training.insert(kept.unwrap_or_else(|| {
            let prepared = Prepared::new(&self.recipe, &self.training_source, split, px, self.device);
            (px, Rc::new(prepared))
        }));
        Rc::clone(prepared)
    }
}
