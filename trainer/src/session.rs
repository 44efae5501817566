//! Sets up a training run: from the command line to a [`Trainer`] that is ready to run.

use std::time::Instant;

use anyhow::Result;
use nccl::Nccl;
use regatta_anynet::Parameter;
use regatta_comm::{Launch, World, verify_same_recipe};
use regatta_run_folder::{ExitCode, RunFolder, counted};
use regatta_settings::{self as settings, RawRecipe, Recipe, RecipeArgs};

use crate::checkpoint::restore_and_share;
use crate::datasets::Datasets;
use crate::debug::Inspector;
use crate::failure::{record_failures_in, together};
use crate::feed::Feed;
use crate::image_order::ImageOrder;
use crate::input::loader_settings;
use crate::inspect::memory_estimate;
use crate::libtorch_errors::keep_memory_estimate;
use crate::pretrained::Pretrained;
use crate::progress::Progress;
use crate::records::Records;
use crate::replica::Replica;
use crate::signals::StopFlag;
use crate::start::{Start, reject_other_recipe};
use crate::step::{Learner, StepSource};
use crate::time_limit::{self, StopTime};
use crate::trainer::Trainer;
use crate::{automatic, debug, device, telemetry, world};

/// Maximum number of steps of a debug run.
const DEBUG_STEPS: u64 = 5;

/// Options of training besides the recipe's.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Flags {
    /// One process without MPI, deterministic, a few steps, every layer and gradient checked
    #[arg(long, requires = "config")]
    debug: bool,
    /// Shows only warnings, errors and the result; the log files have everything
    #[arg(long, short, requires = "config")]
    quiet: bool,
}

/// Trains as the recipe specifies and returns the exit code.
///
/// # Errors
/// An invalid recipe, or a failure of setup or training.
pub(crate) fn train(
    args: &RecipeArgs,
    Flags { debug, quiet }: Flags,
    launch: &Launch,
    process: Instant,
) -> Result<ExitCode> {
    let mut raw = args.load()?;
    if debug {
        debug::reject_ranks(launch)?;
        apply_debug_settings(&mut raw);
    }
    // Installed first, so that a request that arrives while the ranks connect is kept for the first step.
    let stop = StopFlag::install(raw.run.preemption_signal, launch.rank)?;
    let started = Started { args, debug, quiet, launch, process, stop, stop_time: StopTime::default() };
    world::in_world(raw.comm.clone(), launch, |world| train_in(world, raw, &started))
}

/// How this process was started, and how it is asked to stop.
pub(crate) struct Started<'a> {
    args: &'a RecipeArgs,
    /// `--debug`
    pub(crate) debug: bool,
    /// `--quiet`
    quiet: bool,
    launch: &'a Launch,
    /// When the process started.
    pub(crate) process: Instant,
    pub(crate) stop: StopFlag,
    pub(crate) stop_time: StopTime,
}

fn train_in(world: &World, raw: RawRecipe, started: &Started) -> Result<ExitCode> {
    let folder = together(run_folder(&raw, started), world)?;
    let start = Start::agree(&started.args.resume, &folder, started.debug, world)?;
    let Resolved { recipe, device, cores, nccl, chosen } = resolve(raw, &start, started.launch, world)?;
    let datasets = Datasets::open(&recipe, world)?;
    let weights = together(pretrained_weights(&recipe, &start, world), world)?;
    make_folder(&folder, started.debug, world)?;
    let bar = together(telemetry::start(&folder, world.rank(), recipe.log.format, started.quiet), world)?;
    world::start_nccl(nccl.as_ref(), world, device)?;
    let (learner, mut progress) = initial_state(&recipe, device, weights, &start, world)?;
    log_setup(&recipe, world, &folder, &learner, chosen.as_deref());
    if let Some(unused) = &datasets.unused_files {
        tracing::warn!("{unused}");
    }
    let steps_per_epoch = recipe.steps_per_epoch(datasets.train.len());
    progress.check_epoch(steps_per_epoch, datasets.train.len())?;
    progress.check_lists(datasets.list_hash.as_deref())?;
    let order = ImageOrder::new(&recipe, &datasets, started.debug, world);
    let settings = loader_settings(&recipe, cores, device);
    let feed = Feed::new(&recipe, &datasets, settings, device, order.segments(&progress));
    let mut feed = together(feed, world)?;
    feed.prefetch();
    start.log_origin(&recipe, &progress, steps_per_epoch);
    let records = open_records(&folder, &recipe, &datasets, &start, progress.step, world)?;
    if world.rank() == 0 {
        time_limit::watch(started.launch, &started.stop, &started.stop_time);
    }
    let source = StepSource { feed, inspector: Inspector { enabled: started.debug } };
    Trainer::new(&recipe, world, started, (order, source), (learner, progress), records, bar).run()
}

/// Creates the run folder on rank 0; clears that of a debug run.
fn make_folder(folder: &RunFolder, debug: bool, world: &World) -> Result<()> {
    if world.rank() == 0 {
        if debug {
            debug::clear_folder(folder)?;
        } else {
            debug::remove_mark(folder)?;
        }
        folder.create()?;
    }
    world.barrier();
    Ok(())
}

/// Returns the state that training continues from, equal on all ranks: the checkpoint's, or the initial weights.
fn initial_state<'a>(
    recipe: &'a Recipe,
    device: tch::Device,
    weights: Option<Pretrained>,
    start: &Start,
    world: &'a World,
) -> Result<(Learner<'a>, Progress)> {
    let mut replica = Replica::new(recipe, device)?;
    if let Some(weights) = weights {
        weights.fill(&mut replica);
    }
    let mut learner = Learner::new(recipe, replica, world)?;
    let progress = restore_and_share(start.checkpoint.as_deref(), &mut learner, world)?;
    Ok((learner, progress))
}

/// Opens the records on rank 0, which alone writes them, and shares the attempt's number with all ranks: their ledgers and
/// failure files carry it.
fn open_records(
    folder: &RunFolder,
    recipe: &Recipe,
    datasets: &Datasets,
    start: &Start,
    step: u64,
    world: &World,
) -> Result<Option<Records>> {
    let records = match world.rank() {
        0 => Some(Records::open(folder.clone(), recipe, datasets, start, step, world)?),
        _ => None,
    };
    let attempt = world.share(records.as_ref().map_or(0, Records::attempt))?;
    record_failures_in(folder, attempt);
    world.publish_to(folder, attempt);
    Ok(records)
}

/// Reads the pretrained weights, for a run that has no checkpoint yet. On rank 0 only, which broadcasts them.
fn pretrained_weights(recipe: &Recipe, start: &Start, world: &World) -> Result<Option<Pretrained>> {
    match &recipe.model.pretrained {
        Some(file) if world.rank() == 0 && start.checkpoint.is_none() => {
            let network = recipe.network();
            let weights = Pretrained::read(file, &network)?;
            Ok(Some(if recipe.model.new_classifier { weights.without_classifier(&network) } else { weights }))
        }
        _ => Ok(None),
    }
}

/// Changes a recipe for `--debug`: one process, deterministic kernels, few steps, each of them logged.
fn apply_debug_settings(raw: &mut RawRecipe) {
    raw.comm.backend = settings::Backend::Single;
    raw.train.deterministic = true;
    raw.train.max_steps = Some(raw.train.max_steps.unwrap_or(DEBUG_STEPS).min(DEBUG_STEPS));
    raw.log.interval_steps = 1;
}

/// Returns the run folder. A debug run's name ends in `-debug`; an existing folder that no debug run made is rejected.
fn run_folder(raw: &RawRecipe, started: &Started) -> Result<RunFolder> {
    let suffix = if started.debug { "-debug" } else { "" };
    let folder = RunFolder::new(&raw.run.folder, started.args.run_name()? + suffix);
    if started.debug {
        debug::reject_other_run(&folder)?;
    }
    Ok(folder)
}

/// The resolved recipe, and what it selects on these ranks.
struct Resolved {
    recipe: Recipe,
    device: tch::Device,
    /// Number of this rank's cores.
    cores: usize,
    nccl: Option<Nccl>,
    /// Log message about the automatic choices that were timed.
    chosen: Option<String>,
}

/// Resolves the recipe for this world size and makes every automatic choice, the same on all ranks. A collective.
fn resolve(raw: RawRecipe, start: &Start, launch: &Launch, world: &World) -> Result<Resolved> {
    let kept = together(start.kept_recipe(), world)?;
    let resolved = raw.resolve(world.world_size(), kept.as_ref());
    let mut recipe = together(resolved.map_err(Into::into), world)?;
    let device = together(device::open(recipe.train.device, world), world)?;
    let cores = device::prepare(&recipe.train, device, launch, world)?;
    let nccl = world::choose_nccl(world, recipe.comm.backend, device)?;
    together(world::check_compression(world, &recipe.comm, nccl.is_some()), world)?;
    let chosen = automatic::choose(&mut recipe, kept.as_ref(), device, world)?;
    if let Ok(estimate) = memory_estimate(&recipe, world.world_size()) {
        keep_memory_estimate(estimate);
    }
    together(verify_same_recipe(world, &recipe.to_toml()).map_err(Into::into), world)?;
    if let Some(kept) = &kept {
        together(reject_other_recipe(kept, &recipe), world)?;
    }
    Ok(Resolved { recipe, device, cores, nccl, chosen })
}

/// Logs the ranks, the device, the network's size and the batch sizes.
fn log_setup(recipe: &Recipe, world: &World, folder: &RunFolder, learner: &Learner, chosen: Option<&str>) {
    let (train, replica) = (&recipe.train, &learner.replica);
    let elements = |specs: &[Parameter]| specs.iter().map(Parameter::elements).sum::<i64>();
    tracing::info!("{}", describe_ranks(recipe, replica.device(), world));
    tracing::info!(
        "{} parameters in {}, global batch {} in micro-batches of {}, run folder {}",
        elements(&replica.frozen.specs) + elements(&replica.specs),
        counted(replica.layout.buckets.len(), "bucket"),
        train.global_batch_size,
        train.micro_batch_size,
        folder.path().display()
    );
    if !replica.frozen.is_empty() {
        tracing::info!(
            "frozen: {} of the stem and {} keep their values",
            counted(elements(&replica.frozen.specs), "parameter"),
            counted(recipe.model.frozen_stages, "stage")
        );
    }
    if let Some(chosen) = chosen {
        tracing::info!("{chosen}");
    }
}

/// Describes the ranks and how they compute, for the log.
pub(crate) fn describe_ranks(recipe: &Recipe, device: tch::Device, world: &World) -> String {
    format!(
        "{} over {}, {}, {} a rank, {}, {}",
        counted(world.world_size(), "rank"),
        world.description(),
        device::name(device),
        counted(tch::get_num_threads(), "thread"),
        device::recipe_value(&recipe.train.precision),
        device::recipe_value(&recipe.train.memory_format)
    )
}
