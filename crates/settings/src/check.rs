//! The checks of a resolved recipe: those of each section, then those across sections. The bounds of integers were checked
//! when the recipe was read.

use regatta_anynet::{NetworkError, Stem};

use crate::choice::Backend;
use crate::dataset::DatasetFacts;
use crate::interval::Checked;
use crate::place::Places;
use crate::recipe::{Architecture, DataSource, Recipe, resolution};

/// Rejects `recipe` if it cannot be trained by `world_size` ranks.
pub(crate) fn check(recipe: &Recipe, world_size: usize) -> Checked {
    let places = &recipe.places;
    recipe.data.check(recipe.model.in_channels, places)?;
    recipe.augment.check(recipe.model.in_channels, places)?;
    check_network(recipe, places)?;
    resolution::check(recipe, places)?;
    check_val_resolution(recipe, places)?;
    recipe.train.check(places)?;
    check_micro_batches(recipe, world_size, places)?;
    check_mixing(recipe, places)?;
    check_target_threshold(recipe, places)?;
    recipe.optim.check(places)?;
    recipe.schedule.check(&recipe.train, places)?;
    recipe.train.check_average(recipe.schedule.warmup_epochs, places)?;
    recipe.eval.check(places)?;
    check_precise_batches(recipe, places)?;
    recipe.checkpoint.check(places)?;
    recipe.comm.check(places)?;
    recipe.log.check(places)?;
    recipe.run.check(places)?;
    check_backend(recipe, world_size, places)?;
    match recipe.data.source {
        DataSource::Synthetic { train_images, val_images, channels, classes } => {
            recipe.check_dataset(&DatasetFacts { train_images, val_images, channels, classes })
        }
        DataSource::Files { .. } | DataSource::ImageFolder { .. } | DataSource::TarShards { .. } => Ok(()),
    }
}

/// Checks that the network can be built. Errors of `anynet` start with the key, relative to the network or its generator.
fn check_network(recipe: &Recipe, places: &Places) -> Checked {
    let refused = |section: &str, error: NetworkError| {
        let problem = format!("{section}{error}");
        let key_end = problem.find([' ', ',']).unwrap_or(problem.len());
        places.conflict(&problem[..key_end], problem.clone())
    };
    let network = recipe.model.network(recipe.data.resolution_px);
    let network = network.map_err(|error| refused("model.regnet.", error))?;
    recipe.model.check_fine_tuning(network.stages.len(), places)?;
    network.validate().map_err(|error| {
        if !error.to_string().starts_with("stages") {
            return refused("model.", error);
        }
        match recipe.model.architecture {
            Architecture::AnyNet(_) => refused("model.anynet.", error),
            Architecture::RegNet(_) => places.conflict("model.regnet", format!("model.regnet: {error}")),
            Architecture::Published(_) => places.conflict("model.arch", format!("model.arch: {error}")),
        }
    })
}

/// Rejects evaluation at another resolution if the network depends on the image's size.
fn check_val_resolution(recipe: &Recipe, places: &Places) -> Checked {
    let (trained, evaluated) = (recipe.data.resolution_px, recipe.data.val_resolution_px);
    if recipe.model.stem != Stem::Flatten || trained == evaluated {
        return Ok(());
    }
    let problem = format!(
        "data.val_resolution_px = {evaluated} differs from data.resolution_px = {trained}, but a flattening stem takes \
         images of one size: leave it out"
    );
    Err(places.conflict("data.val_resolution_px", problem))
}

/// Checks that every rank gets a micro-batch of a full global batch, and BatchNorm more than one value per channel.
fn check_micro_batches(recipe: &Recipe, world_size: usize, places: &Places) -> Checked {
    let (global, micro) = (recipe.train.global_batch_size, recipe.train.micro_batch_size);
    let accepted = format!("an integer from 1 to {global}, the global_batch_size");
    places.require((1..=global).contains(&micro), "train.micro_batch_size", micro, &accepted)?;

    let micro_batches = global.div_ceil(micro);
    if world_size > micro_batches {
        let counted = format!(
            "{world_size} ranks, but train.global_batch_size = {global} in micro-batches of \
             train.micro_batch_size = {micro} makes only {micro_batches}"
        );
        let remedy = match (global - 1) / (world_size - 1) {
            0 => format!("use at most {global} ranks, or a train.global_batch_size of at least {world_size}"),
            1 => "only train.micro_batch_size = 1 fits".to_owned(),
            largest => format!("train.micro_batch_size from 1 to {largest} fits"),
        };
        return Err(places.conflict("train.micro_batch_size", format!("{counted}: {remedy}")));
    }
    if micro == 1 && recipe.map_is_one_pixel() {
        let problem =
            recipe.one_value_problem("train.micro_batch_size = 1", "set train.micro_batch_size to 2 or more");
        return Err(places.conflict("train.micro_batch_size", problem));
    }
    Ok(())
}

/// Rejects mixing within micro-batches of one image, which would mix each with itself.
fn check_mixing(recipe: &Recipe, places: &Places) -> Checked {
    let Some(name) = recipe.augment.mixes() else { return Ok(()) };
    let (global, micro) = (recipe.train.global_batch_size, recipe.train.micro_batch_size);
    let single = match (micro, global % micro) {
        (1, _) => "train.micro_batch_size = 1".to_owned(),
        (_, 1) => format!(
            "train.global_batch_size = {global} in micro-batches of {micro} leaves one image in the last"
        ),
        _ => return Ok(()),
    };
    let problem = format!(
        "augment.{name}_alpha mixes the images of a micro-batch, but {single}: choose a train.micro_batch_size that leaves no \
         image alone, or set augment.{name}_alpha to 0"
    );
    Err(places.conflict("train.micro_batch_size", problem))
}

/// Rejects a threshold that label smoothing alone exceeds for every class, or that no class exceeds without mixing.
fn check_target_threshold(recipe: &Recipe, places: &Places) -> Checked {
    let Some(threshold) = recipe.train.bce_target_threshold else { return Ok(()) };
    let smoothing = recipe.train.label_smoothing;
    let lowest = smoothing / f64::from(recipe.model.classes);
    let highest = 1.0 - smoothing + lowest;
    if (lowest..highest).contains(&threshold) {
        return Ok(());
    }
    let problem = format!(
        "train.bce_target_threshold = {threshold} makes all targets equal, since those of train.label_smoothing = {smoothing} \
         and {classes} classes are {lowest:.4} and {highest:.4}: set a threshold between them",
        classes = recipe.model.classes
    );
    Err(places.conflict("train.bce_target_threshold", problem))
}

/// Checks that BatchNorm has more than one value per channel in the last batch of precise statistics.
fn check_precise_batches(recipe: &Recipe, places: &Places) -> Checked {
    let (images, micro) = (recipe.eval.precise_bn_images, recipe.train.micro_batch_size);
    if images % micro != 1 || !recipe.map_is_one_pixel() {
        return Ok(());
    }
    let cause = format!(
        "eval.precise_bn_images = {images} in batches of train.micro_batch_size = {micro} leaves one image in the last"
    );
    let remedy = format!("set eval.precise_bn_images to {}", images - 1);
    Err(places.conflict("eval.precise_bn_images", recipe.one_value_problem(&cause, &remedy)))
}

/// Rejects the backend "single" with more than one rank.
fn check_backend(recipe: &Recipe, world_size: usize, places: &Places) -> Checked {
    if recipe.comm.backend != Backend::Single || world_size == 1 {
        return Ok(());
    }
    let problem = format!(
        "comm.backend = \"single\" is for exactly one rank, but {world_size} were started: \
         set comm.backend to \"auto\" or \"mpi\", or start one"
    );
    Err(places.conflict("comm.backend", problem))
}
