//! From the command line to a trainer that is ready to run.

use std::time::Instant;

use anyhow::Result;
use nccl::Nccl;
use regatta_anynet::Parameter;
use regatta_comm::{Launch, World, prove_same_recipe};
use regatta_run_folder::{ExitCode, RunFolder, counted};
use regatta_settings::{self as settings, RawRecipe, Recipe, RecipeArgs};

use crate::checkpoint::restore_and_share;
use crate::datasets::Datasets;
use crate::failure::{leave_files_in, together};
use crate::inspect::memory_estimate;
use crate::libtorch_errors::keep_memory_estimate;
use crate::pretrained::Pretrained;
use crate::progress::Progress;
use crate::records::Records;
use crate::replica::Replica;
use crate::signals::StopFlag;
use crate::start::{Start, refuse_other_recipe};
use crate::step::Learner;
use crate::time_limit::{self, StopTime};
use crate::trainer::Trainer;
use crate::{automatic, debug, device, telemetry, world};

/// Steps of a debug run.
const DEBUG_STEPS: u64 = 5;

/// Trains as the recipe says; returns how it ended.
pub(crate) fn train(args: &RecipeArgs, debug: bool, launch: &Launch, process: Instant) -> Result<ExitCode> {
    let mut raw = args.load()?;
    if debug {
        debug::refuse_ranks(launch)?;
        make_debug(&mut raw);
    }
    // From the very start: a request that comes while ranks still meet is kept for the first step.
    let stop = StopFlag::install(raw.run.preemption_signal, launch.rank)?;
    let started = Started { args, debug, launch, process, stop, stop_time: StopTime::default() };
    world::in_world(raw.comm.clone(), launch, |world| train_in(world, raw, &started))
}

/// How this process was started, and how it hears that it is to stop.
pub(crate) struct Started<'a> {
    args: &'a RecipeArgs,
    /// `--debug`
    pub(crate) debug: bool,
    launch: &'a Launch,
    /// When the process began.
    pub(crate) process: Instant,
    pub(crate) stop: StopFlag,
    pub(crate) stop_time: StopTime,
}

fn train_in(world: &World, raw: RawRecipe, started: &Started) -> Result<ExitCode> {
    let folder = together(run_folder(&raw, started), world)?;
    let start = Start::agree(&started.args.resume, &folder, started.debug, world)?;
    let Resolved { recipe, device, nccl, chosen } = resolve(raw, &start, started.launch, world)?;
    let datasets = together(Datasets::open(&recipe), world)?;
    let weights = together(pretrained_weights(&recipe, &start, world), world)?;
    make_folder(&folder, started.debug, world)?;
    let bar = together(telemetry::start(&folder, world.rank(), recipe.log.format), world)?;
    world::start_nccl(nccl.as_ref(), world, device)?;
    let (learner, progress) = first_state(&recipe, device, weights, &start, world)?;
    introduce(&recipe, world, &folder, &learner, chosen.as_deref());
    let steps_per_epoch = recipe.steps_per_epoch(datasets.train.len());
    progress.check_epoch(steps_per_epoch, datasets.train.len())?;
    start.introduce(&recipe, &progress, steps_per_epoch);
    let records = open_records(&folder, &recipe, steps_per_epoch, &start, progress.step, world)?;
    if world.rank() == 0 {
        time_limit::watch(started.launch, &started.stop, &started.stop_time);
    }
    Trainer::new(&recipe, world, started, &datasets, (learner, progress), records, bar).run()
}

/// Makes the run's folder, on rank 0; a debug run's is cleared.
fn make_folder(folder: &RunFolder, debug: bool, world: &World) -> Result<()> {
    if world.rank() == 0 {
        if debug {
            debug::begin_anew(folder)?;
        } else {
            debug::take_over(folder)?;
        }
        folder.create()?;
    }
    world.barrier();
    Ok(())
}

/// What training continues from, the same on all ranks: the checkpoint, or the first weights.
fn first_state<'a>(
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

/// Takes the run folder, on rank 0, which alone writes records. All ranks hear the attempt's number: their ledgers and the files
/// that they leave at a failure carry it.
fn open_records(
    folder: &RunFolder,
    recipe: &Recipe,
    steps_per_epoch: u64,
    start: &Start,
    step: u64,
    world: &World,
) -> Result<Option<Records>> {
    let records = match world.rank() {
        0 => Some(Records::open(folder.clone(), recipe, steps_per_epoch, start, step, world)?),
        _ => None,
    };
    let attempt = world.share(records.as_ref().map_or(0, Records::attempt))?;
    leave_files_in(folder, attempt);
    world.publish_to(folder, attempt);
    Ok(records)
}

/// On rank 0, from which all take them: what a run starts from that has no checkpoint yet.
fn pretrained_weights(recipe: &Recipe, start: &Start, world: &World) -> Result<Option<Pretrained>> {
    match &recipe.model.pretrained {
        Some(file) if world.rank() == 0 && start.checkpoint.is_none() => {
            Pretrained::read(file, &recipe.network()).map(Some)
        }
        _ => Ok(None),
    }
}

/// One process, deterministic kernels, every step logged, only a few.
fn make_debug(raw: &mut RawRecipe) {
    raw.comm.backend = settings::Backend::Single;
    raw.train.deterministic = true;
    raw.train.max_steps = Some(raw.train.max_steps.unwrap_or(DEBUG_STEPS).min(DEBUG_STEPS));
    raw.log.interval_steps = 1;
}

/// The run's folder. That of a debug run has a name of its own, and is refused if no debug run made it.
fn run_folder(raw: &RawRecipe, started: &Started) -> Result<RunFolder> {
    let suffix = if started.debug { "-debug" } else { "" };
    let folder = RunFolder::new(&raw.run.folder, started.args.run_name()? + suffix);
    if started.debug {
        debug::refuse_other_run(&folder)?;
    }
    Ok(folder)
}

/// What a recipe comes to on these ranks.
struct Resolved {
    recipe: Recipe,
    device: tch::Device,
    nccl: Option<Nccl>,
    /// What to say of choices that went by time.
    chosen: Option<String>,
}

/// The recipe at this world size, with every automatic choice taken, the same on all ranks.
fn resolve(raw: RawRecipe, start: &Start, launch: &Launch, world: &World) -> Result<Resolved> {
    let kept = together(start.kept_recipe(), world)?;
    let resolved = raw.resolve(world.world_size(), kept.as_ref());
    let mut recipe = together(resolved.map_err(Into::into), world)?;
    let device = together(device::open(recipe.train.device, world), world)?;
    device::prepare(&recipe.train, device, launch, world)?;
    let nccl = world::choose_nccl(world, recipe.comm.backend, device)?;
    together(world::check_compression(world, &recipe.comm, nccl.is_some()), world)?;
    let chosen = automatic::choose(&mut recipe, kept.as_ref(), device, world)?;
    if let Ok(estimate) = memory_estimate(&recipe, world.world_size()) {
        keep_memory_estimate(estimate);
    }
    together(prove_same_recipe(world, &recipe.to_toml()).map_err(Into::into), world)?;
    if let Some(kept) = &kept {
        together(refuse_other_recipe(kept, &recipe), world)?;
    }
    Ok(Resolved { recipe, device, nccl, chosen })
}

/// The first lines of the log.
fn introduce(recipe: &Recipe, world: &World, folder: &RunFolder, learner: &Learner, chosen: Option<&str>) {
    let train = &recipe.train;
    tracing::info!(
        "{} over {}, {}, {} a rank, {}, {}",
        counted(world.world_size(), "rank"),
        world.description(),
        device::name(learner.replica.device()),
        counted(tch::get_num_threads(), "thread"),
        device::word(&train.precision),
        device::word(&train.memory_format)
    );
    tracing::info!(
        "{} parameters in {}, global batch {} in micro-batches of {}, run folder {}",
        learner.replica.specs.iter().map(Parameter::elements).sum::<i64>(),
        counted(learner.replica.layout.buckets.len(), "bucket"),
        train.global_batch_size,
        train.micro_batch_size,
        folder.path().display()
    );
    if let Some(chosen) = chosen {
        tracing::info!("{chosen}");
    }
}
