//! Mixup and CutMix on the device: mixes the images of a micro-batch and turns their labels into probabilities.

use regatta_data::{Mix, MixSettings, Rectangle, Size};
use regatta_settings::{MemoryFormat, Recipe};
use tch::{Kind, Tensor};

use crate::device::kind;
use crate::loss::probabilities;
use crate::replica::in_format;

/// Mixes the micro-batches of a recipe.
#[derive(Debug)]
pub(crate) struct Mixing {
    settings: MixSettings,
    classes: i64,
    /// Element type of the probabilities.
    kind: Kind,
    /// Memory format of the images.
    format: MemoryFormat,
}

impl Mixing {
    /// Returns the recipe's mixing; none if it mixes no micro-batch.
    pub(crate) fn of(recipe: &Recipe) -> Option<Self> {
        let settings = MixSettings {
            seed: recipe.train.seed,
            mixup_alpha: recipe.augment.mixup_alpha,
            cutmix_alpha: recipe.augment.cutmix_alpha,
            probability: recipe.augment.mix_probability,
            switch_probability: recipe.augment.mix_switch_probability,
        };
        settings.is_on().then(|| Self {
            settings,
            classes: recipe.network().classes,
            kind: kind(recipe.train.precision),
            format: recipe.train.memory_format,
        })
    }

    /// Draws how the images, of `size`, of micro-batch `number` of an epoch are mixed.
    pub(crate) fn draw(&self, (epoch, number): (u64, usize), size: Size) -> Mix {
        self.settings.draw(epoch, number, size)
    }

    /// Mixes the images `[n, c, h, w]` of micro-batch `number` of an epoch. Returns them with the probabilities `[n, classes]` of
    /// their labels `[n]`, which have this shape whether or not this micro-batch is mixed.
    pub(crate) fn apply(&self, key: (u64, usize), images_nchw: &Tensor, labels: &Tensor) -> (Tensor, Tensor) {
        let [height, width] = [2, 3].map(|axis| images_nchw.size()[axis] as u32);
        let targets = probabilities(labels, self.classes, self.kind);
        let mix = self.draw(key, Size { width, height });
        let (images_nchw, targets) = mixed(mix, images_nchw, &targets);
        (in_format(&images_nchw, self.format), targets)
    }
}

/// Mixes each image and its probabilities with those before it in the micro-batch, and the first with the last.
pub(crate) fn mixed(mix: Mix, images_nchw: &Tensor, targets_nk: &Tensor) -> (Tensor, Tensor) {
    match mix {
        Mix::None => (images_nchw.shallow_clone(), targets_nk.shallow_clone()),
        Mix::MixUp { kept } => (weighted(images_nchw, kept), weighted(targets_nk, kept)),
        Mix::CutMix { replaced, kept } => (cut(images_nchw, replaced), weighted(targets_nk, kept)),
    }
}

fn weighted(of_images: &Tensor, kept: f64) -> Tensor {
    let mut weighted = partners(of_images);
    _ = weighted.g_mul_scalar_(1.0 - kept);
    weighted.g_add_(&(of_images * kept))
}

fn cut(images_nchw: &Tensor, Rectangle { left, top, width, height }: Rectangle) -> Tensor {
    let inside =
        |images: &Tensor| images.narrow(2, top.into(), height.into()).narrow(3, left.into(), width.into());
    let cut = images_nchw.copy();
    inside(&cut).copy_(&partners(&inside(images_nchw)));
    cut
}

/// Returns a new tensor whose first axis is rolled by one, in the same memory format, unlike the result of `roll` on a GPU.
fn partners(of_images: &Tensor) -> Tensor {
    let last = of_images.size()[0] - 1;
    Tensor::cat(&[of_images.narrow(0, last, 1), of_images.narrow(0, 0, last)], 0)
}
