//! `trainer probe`: measures the machine and its ranks in a few seconds: devices, NCCL, all-reduce times by size, the data
//! loader. Used by `launcher doctor` and the acceptance run on GPUs.

mod loader;
mod peers;
mod step;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use nccl::Nccl;
use regatta_comm::{Launch, World};
use regatta_run_folder::{
    ExitCode, ProbeReport, ProbedLibrary, Schema, StepRate, TimedSum, counted, print_output,
};
use regatta_settings::{Backend, CommSettings, Device as AskedDevice, OptionalRecipeArgs};
use regatta_torch_ext::{on_grad_accumulated, pci_bus_id, torch_version};
use tch::{Device, Kind, Tensor};

use self::peers::peers;
use crate::data_command::SplitName;
use crate::gpu_sensors::GpuSensors;
use crate::{device, telemetry, world};

/// `trainer probe`.
#[derive(Debug, Args)]
#[command(mut_arg("config", |it| it.help("Measures the loader too, with the data set of this recipe")))]
pub(crate) struct ProbeCommand {
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// Computes on the CPU, even where there is a GPU
    #[arg(long)]
    cpu: bool,
    /// Reduces over NCCL, even on a single GPU
    #[arg(long)]
    nccl: bool,
    /// Measures the throughput of that many steps of the recipe on images that are already on the device
    #[arg(long, value_name = "N", requires = "config", value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// Repeats the steps for each line of standard input and prints a line of JSON each time, to alternate with other programs
    #[arg(long, requires = "steps")]
    in_turn: bool,
    /// Measures the loader for that long, in seconds
    #[arg(long, value_name = "S", requires = "config", default_value_t = 1.0, value_parser = seconds)]
    loader_seconds: f64,
    /// The split that the loader reads
    #[arg(long, value_enum, requires = "config", default_value = "train")]
    loader_split: SplitName,
    #[command(flatten)]
    recipe: OptionalRecipeArgs,
}

/// Parses a duration of a measurement.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.01..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "expected a number of seconds from 0.01 to 3600".to_owned())
}

/// Sizes of the timed all-reduces, in bytes.
const SIZES: [usize; 6] = [4 << 10, 64 << 10, 1 << 20, 8 << 20, 32 << 20, 128 << 20];
/// Largest size on a CPU, where memory bandwidth limits the time.
const LARGEST_ON_CPU: usize = 32 << 20;
/// Untimed all-reduces before all others, in which the ranks connect and choose an algorithm.
const WARM_UP: usize = 20;
/// Timed all-reduces of each size, after an untimed one.
const REPEATS: u32 = 5;

/// Measures and prints the report.
///
/// # Errors
/// Ranks that cannot connect, devices that cannot be used, failed collectives.
pub(crate) fn probe(command: &ProbeCommand, launch: &Launch) -> Result<ExitCode> {
    telemetry::start_quietly();
    let backend = if command.nccl { Backend::Nccl } else { Backend::Auto };
    world::in_world(CommSettings { backend, ..CommSettings::default() }, launch, |world| {
        let findings = measure(command, backend, launch, world)?;
        if world.rank() == 0 {
            match command.json {
                true => print_output(serde_json::to_string_pretty(&findings)?)?,
                false => print_output(table(&findings))?,
            }
        }
        world.barrier();
        Ok(ExitCode::Done)
    })
}

fn measure(command: &ProbeCommand, backend: Backend, launch: &Launch, world: &World) -> Result<ProbeReport> {
    let asked = if command.cpu { AskedDevice::Cpu } else { AskedDevice::Auto };
    let device = device::open(asked, world)?;
    let nccl = world::choose_nccl(world, backend, device)?;
    world::start_nccl(nccl.as_ref(), world, device)?;
    let all_reduce = sums(world, device)?;
    let gpu = if let Device::Cuda(gpu) = device { Some(pci_bus_id(gpu)?) } else { None };
    let args = command.recipe.recipe();
    let duration = Duration::from_secs_f64(command.loader_seconds);
    let loader = args
        .as_ref()
        .map(|args| {
            loader::images_per_second(args, command.loader_split.split(), duration, device, launch, world)
        })
        .transpose()?;
    let step = args.zip(command.steps);
    let step = step
        .map(|(args, steps)| step::measure(&args, steps as usize, command.in_turn, device, launch, world));
    let step = step.transpose()?;
    let library =
        |nccl: Nccl| ProbedLibrary { version: nccl.version().to_string(), path: nccl.path().to_owned() };
    Ok(ProbeReport {
        schema: Schema,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        libtorch_version: Some(torch_version()),
        nccl: Nccl::open().ok().map(library),
        ranks: peers(world, &device::name(device), gpu.as_deref())?,
        loader_images_per_second: loader,
        step,
        world_size: world.world_size(),
        backend: world.description(),
        device: device::name(device),
        gpu_pci_bus_id: gpu,
        gpu: GpuSensors::of(device).map(|sensors| sensors.read()).unwrap_or_default(),
        visible_gpus: (device != Device::Cpu).then(tch::Cuda::device_count),
        threads: tch::get_num_threads(),
        hooks_run_on_engine_threads: hooks_run_on_engine_threads(device)?,
        all_reduce,
        nccl_finalize_seconds: nccl.is_some().then(|| seconds_to_finish_nccl(world)).transpose()?,
    })
}

fn seconds_to_finish_nccl(world: &World) -> Result<f64> {
    let begin = Instant::now();
    world.finish_nccl().context("cannot shut down NCCL")?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Times the all-reduces of each size; none if there is nothing to reduce with.
fn sums(world: &World, device: Device) -> Result<Vec<TimedSum>> {
    if !world.sums_over_ranks() {
        return Ok(Vec::new());
    }
    let mut small = Tensor::ones([SIZES[0] as i64 / 4], (Kind::Float, device));
    for _ in 0..WARM_UP {
        world.all_reduce(&mut small)?;
    }
    let sizes = SIZES.into_iter().filter(|&bytes| device != Device::Cpu || bytes <= LARGEST_ON_CPU);
    sizes.map(|bytes| time_sums(world, device, bytes)).collect()
}

fn time_sums(world: &World, device: Device, bytes: usize) -> Result<TimedSum> {
    let mut flat = Tensor::ones([bytes as i64 / 4], (Kind::Float, device));
    world.all_reduce(&mut flat)?;
    let size = world.world_size() as f64;
    let correct = (&flat - size).abs().max().double_value(&[]) == 0.0;
    device::wait_for(device)?;
    world.barrier();
    let begin = Instant::now();
    for _ in 0..REPEATS {
        world.all_reduce(&mut flat)?;
    }
    device::wait_for(device)?;
    let seconds = begin.elapsed().as_secs_f64() / f64::from(REPEATS);
    let carried = 2.0 * (size - 1.0) / size * bytes as f64;
    Ok(TimedSum {
        bytes: bytes as u64,
        correct,
        microseconds: seconds * 1e6,
        bus_gb_per_second: carried / seconds / 1e9,
    })
}

fn hooks_run_on_engine_threads(device: Device) -> Result<bool> {
    let parameter = Tensor::ones([4], (Kind::Float, device)).set_requires_grad(true);
    let elsewhere = Arc::new(AtomicBool::new(false));
    let (seen, main) = (Arc::clone(&elsewhere), std::thread::current().id());
    on_grad_accumulated(&parameter, move || {
        seen.store(std::thread::current().id() != main, Ordering::SeqCst);
    })?;
    (&parameter * 2.0).sum(Kind::Float).backward();
    device::wait_for(device)?;
    Ok(elsewhere.load(Ordering::SeqCst))
}

fn table(report: &ProbeReport) -> String {
    let ProbeReport { world_size, backend, device, threads, .. } = report;
    let (ranks, threads) = (counted(world_size, "rank"), counted(threads, "thread"));
    let mut text = format!("{ranks} over {backend}, {device}, {threads} a rank\n");
    if report.all_reduce.is_empty() {
        text += "no all-reduces: a single rank has no peers (start several with mpirun -n N trainer probe)\n";
    }
    for TimedSum { bytes, correct, microseconds, bus_gb_per_second } in &report.all_reduce {
        let wrong = if *correct { "" } else { "  WRONG" };
        text += &format!(
            "all_reduce of {bytes:>10} bytes {microseconds:>10.1} us {bus_gb_per_second:>8.2} GB/s{wrong}\n"
        );
    }
    if let Some(rate) = report.loader_images_per_second {
        text += &format!("the loader assembles {rate:.0} images/s on all ranks together\n");
    }
    if let Some(StepRate { images_per_second, milliseconds, .. }) = &report.step {
        text += &format!("{milliseconds:.2} ms a step, {images_per_second:.0} images/s without the loader\n");
    }
    text
}
