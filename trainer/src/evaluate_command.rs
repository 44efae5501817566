//! `trainer evaluate`: accuracy, loss and predictions of a checkpoint or a weights file on a whole split.

mod adapt;
mod given;
mod predictions;
mod report;
mod worst;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{ArgGroup, Args};
use indicatif::ProgressBar;
use regatta_comm::{Launch, World, verify_same_recipe};
use regatta_data::Split;
use regatta_model::Mode;
use regatta_run_folder::{ExitCode, RunFolder, StorageError, check_output, print_output, write_output};
use regatta_settings::Recipe;
use tch::{Device, Tensor};

use self::given::Given;
use self::predictions::{Collector, Predictions};
use self::report::{Report, Subject};
use self::worst::worst_images;
use crate::checkpoint::share_weights;
use crate::data_command::SplitName;
use crate::datasets::Datasets;
use crate::evaluate::{EvaluatedBatch, Evaluation, evaluate_logits};
use crate::failure::{Diverged, together};
use crate::feed::{Feed, Purpose};
use crate::image_order::ImageOrder;
use crate::input::{loader_settings, on_bad_image};
use crate::replica::{Replica, in_format};
use crate::session::describe_ranks;
use crate::{device, telemetry, terminal, world};

/// Time limit for writing the log to the terminal before the result is printed.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// `trainer evaluate`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("evaluated").args(["checkpoint", "weights"]).required(true))]
pub(crate) struct EvaluateCommand {
    /// The recipe, a TOML file [default: that of the checkpoint]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Overrides one key of the recipe, for example eval.batch_size=256 (repeatable)
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// A run folder, of which the newest checkpoint is evaluated, or a checkpoint
    #[arg(long, value_name = "PATH")]
    checkpoint: Option<PathBuf>,
    /// A safetensors file of weights, named as in pycls, torchvision or timm; needs --config
    #[arg(long, value_name = "FILE", requires = "config")]
    weights: Option<PathBuf>,
    /// Evaluates the moving average of the weights, which is the default if the run keeps one
    #[arg(long, conflicts_with_all = ["raw", "weights"])]
    ema: bool,
    /// Evaluates the trained weights instead of their moving average
    #[arg(long, conflicts_with = "weights")]
    raw: bool,
    /// The images to evaluate, with the transforms of evaluation
    #[arg(long, value_enum, default_value = "val")]
    split: SplitName,
    /// Height and width of the network's input in pixels; data.val_resize_px is scaled with it
    /// [default: data.val_resolution_px]
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(1..=4096))]
    resolution: Option<u32>,
    /// Averages the logits of each image and its mirror image
    #[arg(long)]
    flip: bool,
    /// Prints the result as one JSON object
    #[arg(long)]
    json: bool,
    /// Writes the five most probable classes of every image to a CSV file
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
    /// Replaces an existing file of predictions
    #[arg(long, requires = "predictions")]
    force: bool,
    /// Saves the result and the images that were classified worst in the run folder, for `launcher report`; those of an earlier
    /// evaluation of the split are replaced
    #[arg(long, conflicts_with = "weights")]
    save: bool,
}

/// Evaluates the weights on all ranks, and prints the result on rank 0.
///
/// # Errors
/// A missing or damaged checkpoint, weights of another network or other classes, images that cannot be read, a file that
/// exists or cannot be written.
pub(crate) fn evaluate(command: &EvaluateCommand, launch: &Launch) -> Result<ExitCode> {
    let given = Given::find(command)?;
    let saved_in = if command.save { Some(given.run_folder()?) } else { None };
    world::in_world(given.comm(), launch, |world| {
        evaluate_in(world, command, (&given, saved_in.as_ref()), launch)
    })
}

fn evaluate_in(
    world: &World,
    command: &EvaluateCommand,
    (given, saved_in): (&Given, Option<&RunFolder>),
    launch: &Launch,
) -> Result<ExitCode> {
    let bar = telemetry::start_on_terminal(world.rank(), "evaluating");
    together(check_predictions_file(command, world), world)?;
    given.log_damaged();
    let recipe = together(given.recipe(command.resolution, command.split.split()), world)?;
    let device = together(device::open(recipe.train.device, world), world)?;
    let cores = device::prepare(&recipe.train, device, launch, world)?;
    together(verify_same_recipe(world, &recipe.to_toml()).map_err(Into::into), world)?;
    let datasets = open_datasets(&recipe, command.split, world)?;
    together(given.check_classes(&*datasets.validation), world)?;
    tracing::info!("{}", describe_ranks(&recipe, device, world));
    let replica = shared_replica(&recipe, given, device, world)?;
    let order = ImageOrder::new(&recipe, &datasets, false, world);
    let settings = loader_settings(&recipe, cores, device);
    let feed = Feed::new(&recipe, &datasets, settings, device, order.one_evaluation());
    let mut pass = Pass {
        recipe: &recipe,
        replica: &replica,
        feed: together(feed, world)?,
        images: order.validation_images(),
        flip: command.flip,
        bar,
    };
    let (evaluation, predictions) = pass.run(world)?;
    let subject = Subject {
        split: command.split,
        resolution_px: recipe.data.val_resolution_px,
        flip: command.flip,
        weights: given.described(),
    };
    let written = match world.rank() {
        0 => {
            let report = Report::new(&evaluation, &predictions, &*datasets.validation, subject);
            let of_split = (&datasets, command.split);
            publish(command, &report, &predictions, &datasets).and_then(|()| {
                saved_in.map_or(Ok(()), |run| save(run, &report, &predictions, of_split, &recipe))
            })
        }
        _ => Ok(()),
    };
    together(written, world)?;
    world.barrier();
    Ok(ExitCode::Done)
}

/// Saves the result in the run folder.
fn save(
    run: &RunFolder,
    report: &Report,
    predictions: &Predictions,
    (datasets, split): (&Datasets, SplitName),
    recipe: &Recipe,
) -> Result<()> {
    let (worst, images) = worst_images(predictions, (&datasets.validation, split), recipe)?;
    Ok(report.record(worst).save(run, &images)?)
}

/// Checks on rank 0, which writes it, that the file of predictions may be written, and that its folder exists.
fn check_predictions_file(command: &EvaluateCommand, world: &World) -> Result<()> {
    if let (Some(file), 0) = (&command.predictions, world.rank()) {
        check_output(file, command.force)?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder
            .map_or(Ok(()), |folder| folder.metadata().map(drop))
            .map_err(StorageError::io("write", file))?;
    }
    Ok(())
}

/// Opens the data set; its validation images are those of `split`. A collective.
fn open_datasets(recipe: &Recipe, split: SplitName, world: &World) -> Result<Datasets> {
    let mut datasets = Datasets::open(recipe, world)?;
    if split.split() == Split::Train {
        datasets.validation = Arc::clone(&datasets.train);
    }
    Ok(datasets)
}

/// Returns the network with the weights that rank 0 reads, equal on all ranks. A collective.
fn shared_replica(recipe: &Recipe, given: &Given, device: Device, world: &World) -> Result<Replica> {
    let mut replica = Replica::new(recipe, device)?;
    let loaded = if world.rank() == 0 { given.load(recipe, &mut replica) } else { Ok(()) };
    together(loaded, world)?;
    share_weights(&mut replica, world)?;
    Ok(replica)
}

/// An evaluation that is ready to run.
struct Pass<'a> {
    recipe: &'a Recipe,
    replica: &'a Replica,
    feed: Feed,
    /// Number of images on all ranks.
    images: usize,
    /// Whether the logits of the mirror images are averaged in.
    flip: bool,
    bar: ProgressBar,
}

impl Pass<'_> {
    /// Evaluates all images, and gathers the predictions of all ranks in the images' order. A collective.
    fn run(&mut self, world: &World) -> Result<(Evaluation, Predictions)> {
        let Self { recipe, replica, feed, images, flip, bar } = self;
        let mut collector = Collector::default();
        feed.begin(Purpose::Evaluation, 0)?;
        bar.set_length(images.div_ceil(world.world_size()) as u64);
        let logits = |images_nchw: &Tensor| logits(recipe, replica, images_nchw, *flip);
        let mut collect = |batch: EvaluatedBatch| {
            bar.inc(batch.labels.size()[0] as u64);
            collector.add(&batch);
        };
        let device = replica.device();
        let evaluation = evaluate_logits(&logits, &mut collect, device, (feed, *images), world, &|| false)?;
        bar.finish_and_clear();
        let Some(evaluation) = evaluation else { bail!("the evaluation stopped without a request") };
        let on_bad_image = on_bad_image(recipe);
        together(
            on_bad_image.check(Split::Validation, evaluation.bad_images, *images).map_err(Into::into),
            world,
        )?;
        if !evaluation.loss.is_finite() {
            let loss = evaluation.loss;
            let why = "the logits of some image overflow, or the weights are damaged";
            together(Err(Diverged(format!("the loss is {loss}: {why}")).into()), world)?;
        }
        Ok((evaluation, Predictions::gather(&collector.finish()?, world)?))
    }
}

/// Computes logits `[n, classes]`; with `flip` the mean of those of the images and of their mirror images.
fn logits(recipe: &Recipe, replica: &Replica, images_nchw: &Tensor, flip: bool) -> Result<Tensor> {
    let of = |images_nchw: &Tensor| replica.logits(&replica.model, images_nchw, Mode::Evaluation);
    if !flip {
        return of(images_nchw);
    }
    let mirrored = in_format(&images_nchw.flip([3]), recipe.train.memory_format);
    Ok((of(images_nchw)? + of(&mirrored)?) / 2.0)
}

/// Prints the result, then writes the predictions.
fn publish(
    command: &EvaluateCommand,
    report: &Report,
    predictions: &Predictions,
    datasets: &Datasets,
) -> Result<()> {
    // The log reaches the terminal through a thread, these lines do not.
    terminal::flush(FLUSH_LIMIT);
    if command.json {
        print_output(serde_json::to_string(report)?)?;
    } else {
        print_output(report.text())?;
    }
    if let Some(file) = &command.predictions {
        write_output(file, command.force, predictions.csv(&*datasets.validation)?)?;
    }
    Ok(())
}
