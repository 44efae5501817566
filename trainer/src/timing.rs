//! Times forward and backward of a micro-batch with each candidate precision and memory format.

use std::time::{Duration, Instant};

use anyhow::Result;
use regatta_comm::World;
use regatta_model::Mode;
use regatta_settings::{Precision, Recipe};
use tch::{Device, Kind, Tensor};

use crate::automatic::Candidate;
use crate::device::{autocast_kind, kind, wait_for};
use crate::loss::summed_loss;
use crate::replica::{Replica, in_format};

/// Maximum number of images of a pass on a CPU, and of their multiply-adds in the forward pass: forward and backward then take
/// less than a second on two cores.
const MAX_IMAGES: usize = 16;
const MAX_MULTIPLY_ADDS: u64 = 10_000_000_000;
/// Passes of each candidate, alternating between them. The first allocates memory and chooses algorithms; the fastest counts.
const MIN_ROUNDS: usize = 3;
const MAX_ROUNDS: usize = 6;
/// After this time no round beyond the minimum is started.
const TIME_BUDGET: Duration = Duration::from_secs(3);

/// Returns the number of images of a pass: on a GPU the whole micro-batch, since its algorithms depend on the number.
///
/// # Errors
/// A resolution too small for the network.
pub(crate) fn images(recipe: &Recipe, device: Device) -> Result<usize> {
    let micro_batch = recipe.train.micro_batch_size;
    if device != Device::Cpu {
        return Ok(micro_batch);
    }
    let side = i64::from(recipe.data.resolution_px);
    Ok(affordable_images(micro_batch, recipe.network().summary(1, side, side)?.flops))
}

fn affordable_images(micro_batch: usize, multiply_adds_of_an_image: u64) -> usize {
    let affordable = MAX_MULTIPLY_ADDS / multiply_adds_of_an_image.max(1);
    affordable.clamp(1, micro_batch.min(MAX_IMAGES) as u64) as usize
}

/// Times forward and backward of `images` images with each candidate on rank 0's device, and shares the seconds with all ranks.
/// Candidates of the same memory format must be adjacent. A collective.
///
/// # Errors
/// A network that cannot be built or run, and failed collectives.
pub(crate) fn seconds_on_rank_0(
    recipe: &Recipe,
    candidates: &[Candidate],
    images: usize,
    device: Device,
    world: &World,
) -> Result<Vec<f64>> {
    let mut seconds = Vec::new();
    if world.rank() == 0 {
        let by_format = candidates.chunk_by(|one, other| one.memory_format == other.memory_format);
        let benchmarks = by_format.map(|candidates| Benchmark::new(recipe, candidates, images, device));
        seconds = fastest_passes(benchmarks.collect::<Result<_>>()?)?;
    }
    Ok(world.share(seconds)?)
}

fn fastest_passes(mut benchmarks: Vec<Benchmark>) -> Result<Vec<f64>> {
    let begin = Instant::now();
    for round in 0..MAX_ROUNDS {
        if round >= MIN_ROUNDS && begin.elapsed() > TIME_BUDGET {
            break;
        }
        benchmarks.iter_mut().try_for_each(Benchmark::pass)?;
    }
    Ok(benchmarks.into_iter().flat_map(|benchmark| benchmark.fastest).map(|(_, seconds)| seconds).collect())
}

/// The network in one memory format, a micro-batch for it, and the fastest pass of each precision.
struct Benchmark {
    replica: Replica,
    images_nchw: Tensor,
    labels: Tensor,
    fastest: Vec<(Precision, f64)>,
}

impl Benchmark {
    fn new(recipe: &Recipe, candidates: &[Candidate], images: usize, device: Device) -> Result<Self> {
        let mut recipe = recipe.clone();
        // All candidates have the same element type of parameters.
        recipe.train.precision = candidates[0].precision;
        recipe.train.memory_format = candidates[0].memory_format;
        let (images_nchw, labels) = random_micro_batch(&recipe, images, device);
        let fastest = candidates.iter().map(|candidate| (candidate.precision, f64::INFINITY)).collect();
        Ok(Self { replica: Replica::new(&recipe, device)?, images_nchw, labels, fastest })
    }

    /// Runs and times forward and backward in each precision.
    fn pass(&mut self) -> Result<()> {
        let Self { replica, images_nchw, labels, fastest } = self;
        for (precision, fastest) in fastest {
            replica.autocast = autocast_kind(*precision);
            wait_for(replica.device())?;
            let begin = Instant::now();
            let logits = replica.logits(&replica.model, images_nchw, Mode::Training)?;
            summed_loss(&logits, labels, 0.0).backward();
            wait_for(replica.device())?;
            *fastest = fastest.min(begin.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// Returns random images on the device in the recipe's memory format, and random labels.
pub(crate) fn random_micro_batch(recipe: &Recipe, images: usize, device: Device) -> (Tensor, Tensor) {
    let (side, network) = (i64::from(recipe.data.resolution_px), recipe.network());
    let shape = [images as i64, network.in_channels, side, side];
    let images_nchw = Tensor::randn(shape, (kind(recipe.train.precision), device));
    let labels = Tensor::randint(network.classes, [images as i64], (Kind::Int64, device));
    (in_format(&images_nchw, recipe.train.memory_format), labels)
}

#[test]
fn fewer_images_are_timed_for_a_larger_network() {
    let images = [(128, 41e6), (4, 41e6), (128, 0.8e9), (128, 4e9), (32, 32e9), (1, 0.0)];
    let images = images.map(|(micro_batch, cost)| affordable_images(micro_batch, cost as u64));
    assert_eq!(images, [16, 4, 12, 2, 1, 1]);
}
