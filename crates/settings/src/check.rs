//! The checks of a resolved recipe's values against each other, and of numbers whose range has an open end. Integers were held
//! to their bounds where they were typed.

use std::ops::{Range, RangeInclusive};

use regatta_anynet::NetworkError;

use crate::choice::Backend;
use crate::dataset::DatasetFacts;
use crate::error::RecipeError;
use crate::place::Places;
use crate::recipe::{Architecture, DataSource, Optimizer, Recipe, Schedule};

type Checked = Result<(), RecipeError>;

/// A year.
const MAX_TIMEOUT_S: f64 = 31_536_000.0;
/// A year.
const MAX_INTERVAL_MINUTES: f64 = 525_600.0;
/// Words for `0.0..1.0`.
const BELOW_ONE: &str = "a number, at least 0 and below 1";
/// Words for `0.0..=1.0`.
const UP_TO_ONE: &str = "a number from 0 to 1";
const AT_LEAST_ZERO: &str = "a number, at least 0";
const ABOVE_ZERO: &str = "a number above 0";

const FRACTION_BELOW_ONE: Range<f64> = 0.0..1.0;
const FRACTION: RangeInclusive<f64> = 0.0..=1.0;

/// Refuses `recipe` if it cannot be trained by `world_size` ranks.
pub(crate) fn check(recipe: &Recipe, world_size: usize) -> Checked {
    let places = &recipe.places;
    check_data(recipe, places)?;
    check_network(recipe, places)?;
    check_train(recipe, places)?;
    check_micro_batches(recipe, world_size, places)?;
    check_optim(recipe, places)?;
    check_schedule(recipe, places)?;
    check_job(recipe, places)?;
    check_backend(recipe, world_size, places)?;
    match recipe.data.source {
        DataSource::Synthetic { train_images, val_images, channels, classes } => {
            recipe.check_dataset(&DatasetFacts { train_images, val_images, channels, classes })
        }
        DataSource::Files { .. } => Ok(()),
    }
}

fn check_data(recipe: &Recipe, places: &Places) -> Checked {
    let data = &recipe.data;
    let flip = data.horizontal_flip_probability;
    places.require(FRACTION.contains(&flip), "data.horizontal_flip_probability", flip, UP_TO_ONE)?;

    let channels = recipe.model.in_channels as usize;
    for (key, values) in [("data.mean", &data.mean), ("data.std", &data.std)] {
        let accepted = format!("a list of numbers, one for each channel (model.in_channels = {channels})");
        places.require(values.len() == channels, key, values, &accepted)?;
    }
    let is_positive = data.std.iter().all(|&std| std > 0.0);
    places.require(is_positive, "data.std", &data.std, "numbers above 0, since images are divided by them")
}

/// The network can be built; a refusal of `anynet` starts with the key, relative to the network or to its generator.
fn check_network(recipe: &Recipe, places: &Places) -> Checked {
    let refused = |section: &str, error: NetworkError| {
        let problem = format!("{section}{error}");
        let key_end = problem.find([' ', ',']).unwrap_or(problem.len());
        places.conflict(&problem[..key_end], problem.clone())
    };
    let network = recipe.model.network(recipe.data.resolution_px);
    let network = network.map_err(|error| refused("model.regnet.", error))?;
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

fn check_train(recipe: &Recipe, places: &Places) -> Checked {
    let train = &recipe.train;
    let smoothing = train.label_smoothing;
    places.require(FRACTION_BELOW_ONE.contains(&smoothing), "train.label_smoothing", smoothing, BELOW_ONE)?;
    let decay = train.ema_decay;
    places.require(FRACTION_BELOW_ONE.contains(&decay), "train.ema_decay", decay, BELOW_ONE)?;
    places.require(train.clip_grad_norm >= 0.0, "train.clip_grad_norm", train.clip_grad_norm, AT_LEAST_ZERO)
}

/// Every rank has a micro-batch of a whole global batch, and BatchNorm more than one value per channel.
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

fn check_optim(recipe: &Recipe, places: &Places) -> Checked {
    let optim = &recipe.optim;
    places.require(optim.lr > 0.0, "optim.lr", optim.lr, ABOVE_ZERO)?;
    places.require(optim.weight_decay >= 0.0, "optim.weight_decay", optim.weight_decay, AT_LEAST_ZERO)?;
    let norm_bias = optim.weight_decay_norm_bias;
    places.require(norm_bias >= 0.0, "optim.weight_decay_norm_bias", norm_bias, AT_LEAST_ZERO)?;
    match optim.optimizer {
        Optimizer::Sgd { momentum, nesterov } => {
            places.require(FRACTION_BELOW_ONE.contains(&momentum), "optim.momentum", momentum, BELOW_ONE)?;
            if nesterov && momentum == 0.0 {
                let problem =
                    "optim.nesterov = true needs a momentum: set optim.momentum, for example to 0.9";
                return Err(places.conflict("optim.nesterov", problem.to_owned()));
            }
            Ok(())
        }
        Optimizer::AdamW { beta1, beta2, eps } => {
            places.require(FRACTION_BELOW_ONE.contains(&beta1), "optim.beta1", beta1, BELOW_ONE)?;
            places.require(FRACTION_BELOW_ONE.contains(&beta2), "optim.beta2", beta2, BELOW_ONE)?;
            places.require(eps > 0.0, "optim.eps", eps, ABOVE_ZERO)
        }
    }
}

fn check_schedule(recipe: &Recipe, places: &Places) -> Checked {
    let schedule = &recipe.schedule;
    let epochs = schedule.epochs as f64;
    let span = if schedule.epochs == recipe.train.epochs { "train.epochs" } else { "schedule.epochs" };
    let warmup = schedule.warmup_epochs;
    let accepted = format!("a number, at least 0 and below {span} = {epochs}");
    places.require((0.0..epochs).contains(&warmup), "schedule.warmup_epochs", warmup, &accepted)?;
    let start = schedule.warmup_start_fraction;
    places.require(FRACTION.contains(&start), "schedule.warmup_start_fraction", start, UP_TO_ONE)?;
    match &schedule.schedule {
        Schedule::Constant {} => Ok(()),
        Schedule::Step { milestones_epochs: milestones, gamma } => {
            let is_ascending = milestones.is_sorted_by(|a, b| a < b);
            let is_within = milestones.iter().all(|&epoch| 0.0 < epoch && epoch < epochs);
            let is_right = !milestones.is_empty() && is_ascending && is_within;
            let accepted = format!("ascending numbers above 0 and below {span} = {epochs}");
            places.require(is_right, "schedule.milestones_epochs", milestones, &accepted)?;
            let is_right = 0.0 < *gamma && *gamma <= 1.0;
            places.require(is_right, "schedule.gamma", gamma, "a number above 0 and at most 1")
        }
        Schedule::Cosine { final_lr_fraction: end } => {
            places.require(FRACTION.contains(end), "schedule.final_lr_fraction", end, UP_TO_ONE)
        }
    }
}

fn check_job(recipe: &Recipe, places: &Places) -> Checked {
    let minutes = recipe.checkpoint.interval_minutes;
    let is_right = (0.0..=MAX_INTERVAL_MINUTES).contains(&minutes);
    let accepted = format!("a number from 0 to {MAX_INTERVAL_MINUTES}");
    places.require(is_right, "checkpoint.interval_minutes", minutes, &accepted)?;
    let factor = recipe.log.straggler_factor;
    places.require(factor >= 1.0, "log.straggler_factor", factor, "a number, at least 1")?;
    let (first, cap) = (recipe.comm.first_bucket_mib, recipe.comm.bucket_cap_mib);
    places.require(first > 0.0, "comm.first_bucket_mib", first, ABOVE_ZERO)?;
    places.require(cap > 0.0, "comm.bucket_cap_mib", cap, ABOVE_ZERO)?;
    let timeout = recipe.comm.timeout_s;
    let is_right = 0.0 < timeout && timeout <= MAX_TIMEOUT_S;
    let accepted = format!("a number above 0, at most {MAX_TIMEOUT_S}");
    places.require(is_right, "comm.timeout_s", timeout, &accepted)?;
    let folder = &recipe.run.folder;
    places.require(
        !folder.as_os_str().is_empty(),
        "run.folder",
        folder,
        "the path of a folder, such as \"runs\"",
    )
}

fn check_backend(recipe: &Recipe, world_size: usize, places: &Places) -> Checked {
    if recipe.comm.backend != Backend::Single || world_size == 1 {
        return Ok(());
    }
    let problem = format!(
        "comm.backend = \"single\" is a world of one rank, but {world_size} were started: \
         set comm.backend to \"auto\" or \"mpi\", or start one"
    );
    Err(places.conflict("comm.backend", problem))
}
