//! From the command line to a trainer that is ready to run.

use std::time::{Duration, Instant};

use anyhow::Result;
use nccl::Nccl;
use regatta_anynet::Parameter;
use regatta_comm::{Communicator, Launch, Watchdog, exit_after, prove_same_recipe};
use regatta_run_folder::{ExitCode, RunFolder, counted};
use regatta_settings::{self as settings, RawRecipe, Recipe, RecipeArgs};

use crate::checkpoint::restore_and_share;
use crate::clock::Clock;
use crate::datasets::Datasets;
use crate::failure::{end_with, leave_files_in, together};
use crate::in_flight::InFlight;
use crate::pretrained::Pretrained;
use crate::records::Records;
use crate::replica::Replica;
use crate::save_clock::SaveClock;
use crate::signals::StopFlag;
use crate::start::{Start, refuse_other_recipe};
use crate::step::Learner;
use crate::stragglers::Stragglers;
use crate::time_limit::{self, StopTime};
use crate::trainer::Trainer;
use crate::world::{self, NcclEnd};
use crate::{automatic, debug, device, telemetry};

/// Steps of a debug run.
const DEBUG_STEPS: u64 = 5;
/// What the end of MPI may take, once the run has ended.
const FINALIZE: Duration = Duration::from_secs(60);

/// Trains as the recipe says; returns how it ended. Errors end the job before the world is dropped: an unwinding rank
/// would wait in MPI_Finalize for peers that wait for it.
pub(crate) fn train(args: &RecipeArgs, debug: bool, launch: &Launch, process: Instant) -> Result<ExitCode> {
    let mut raw = args.load()?;
    if debug {
        debug::refuse_ranks(launch)?;
        make_debug(&mut raw);
    }
    // From the very start: a request that comes while ranks still meet is kept for the first step.
    let stop = StopFlag::install(raw.run.preemption_signal, launch.rank)?;
    let timeout = Duration::try_from_secs_f64(raw.comm.timeout_s).unwrap_or(FINALIZE);
    let (world, watchdog) = world::join(&raw.comm, launch)?;
    let rank = world.rank();
    let started = Started { args, debug, stop, launch, process };
    let outcome = train_in(&*world, watchdog.as_ref(), raw, started);
    let code = outcome.unwrap_or_else(|error| end_with(&error, rank));
    // All is written, and MPI_Finalize waits for mpirun, which may be stopped or hang.
    exit_after(FINALIZE.min(timeout), code.code());
    drop(watchdog);
    drop(world);
    Ok(code)
}

/// How this process was started.
struct Started<'a> {
    args: &'a RecipeArgs,
    debug: bool,
    stop: StopFlag,
    launch: &'a Launch,
    /// When.
    process: Instant,
}

fn train_in(
    world: &dyn Communicator,
    watchdog: Option<&Watchdog>,
    raw: RawRecipe,
    started: Started,
) -> Result<ExitCode> {
    let Started { args, debug, stop, launch, process } = started;
    let folder = together(run_folder(&raw, args, debug), world)?;
    if debug {
        debug::refuse_other_run(&folder)?;
    }
    let start = Start::agree(&args.resume, &folder, debug, world)?;
    let Resolved { recipe, device, nccl, chosen } = resolve(raw, &start, launch, world)?;
    let datasets = together(Datasets::open(&recipe), world)?;
    let weights = together(pretrained_weights(&recipe, &start, world), world)?;
    if world.rank() == 0 {
        if debug {
            debug::begin_anew(&folder)?;
        } else {
            debug::take_over(&folder)?;
        }
        folder.create()?;
    }
    world.barrier();
    let bar = together(telemetry::start(&folder, world.rank(), recipe.log.format), world)?;
    let timeout = Duration::from_secs_f64(recipe.comm.timeout_s);
    let joined = nccl.zip(watchdog).map(|(nccl, dog)| world::join_nccl(&nccl, world, timeout, device, dog));
    let (nccl, nccl_end) = joined.transpose()?.unzip();
    let world: &dyn Communicator = nccl.as_ref().map_or(world, |nccl| nccl);

    let mut replica = Replica::new(&recipe, device)?;
    if let Some(weights) = &weights {
        weights.fill(&mut replica);
    }
    let mut learner = Learner::new(&recipe, replica, world)?;
    let progress = restore_and_share(start.checkpoint.as_deref(), &mut learner, world)?;
    introduce(&recipe, world, device, &folder, &learner, chosen.as_deref());
    let steps_per_epoch = recipe.steps_per_epoch(datasets.train.len());
    progress.check_epoch(steps_per_epoch, datasets.train.len())?;
    start.introduce(&recipe, &progress, steps_per_epoch);
    let records = match world.rank() {
        0 => Some(Records::open(folder.clone(), &recipe, steps_per_epoch, &start, progress.step, world)?),
        _ => None,
    };
    let mut attempt = records.as_ref().map_or(0, Records::attempt).to_le_bytes();
    world.broadcast(&mut attempt);
    let attempt = u64::from_le_bytes(attempt);
    leave_files_in(&folder, attempt);
    if let Some(watchdog) = watchdog {
        watchdog.publish_to(&folder, attempt);
    }
    let stop_time = StopTime::default();
    if world.rank() == 0 {
        time_limit::watch(launch, &stop, &stop_time);
    }
    let clock = Clock::new(process);
    let datasets = &datasets;
    let recipe = &recipe;
    let code = Trainer {
        recipe,
        world,
        device,
        datasets,
        learner,
        progress,
        records,
        stop,
        stop_time,
        bar,
        debug,
        clock,
        in_flight: InFlight::default(),
        save_clock: SaveClock::new(recipe.checkpoint.interval_minutes, world.rank()),
        stragglers: Stragglers::new(&recipe.log),
    }
    .run()?;
    nccl_end.map_or(Ok(()), NcclEnd::finalize)?;
    Ok(code)
}

/// On rank 0, from which all take them: what a run starts from that has no checkpoint yet.
fn pretrained_weights(
    recipe: &Recipe,
    start: &Start,
    world: &dyn Communicator,
) -> Result<Option<Pretrained>> {
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

/// The run's folder. That of a debug run has a name of its own.
fn run_folder(raw: &RawRecipe, args: &RecipeArgs, debug: bool) -> Result<RunFolder> {
    let suffix = if debug { "-debug" } else { "" };
    Ok(RunFolder::new(&raw.run.folder, args.run_name()? + suffix))
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
fn resolve(raw: RawRecipe, start: &Start, launch: &Launch, world: &dyn Communicator) -> Result<Resolved> {
    let kept = together(start.kept_recipe(), world)?;
    let resolved = raw.resolve(world.world_size(), kept.as_ref());
    let mut recipe = together(resolved.map_err(Into::into), world)?;
    let device = together(device::open(recipe.train.device, world), world)?;
    device::prepare(&recipe.train, device, launch, world)?;
    let nccl = world::choose_nccl(world, recipe.comm.backend, device)?;
    together(world::check_compression(world, &recipe.comm, nccl.is_some()), world)?;
    let chosen = automatic::choose(&mut recipe, kept.as_ref(), device, world)?;
    together(prove_same_recipe(world, &recipe.to_toml()).map_err(Into::into), world)?;
    if let Some(kept) = &kept {
        together(refuse_other_recipe(kept, &recipe), world)?;
    }
    Ok(Resolved { recipe, device, nccl, chosen })
}

/// The first lines of the log.
fn introduce(
    recipe: &Recipe,
    world: &dyn Communicator,
    device: tch::Device,
    folder: &RunFolder,
    learner: &Learner,
    chosen: Option<&str>,
) {
    let train = &recipe.train;
    tracing::info!(
        "{} over {}, {}, {} a rank, {}, {}",
        counted(world.world_size(), "rank"),
        world.description(),
        device::name(device),
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
