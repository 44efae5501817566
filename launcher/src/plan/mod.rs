//! `launcher plan`: predicts memory, step time and scaling on a cluster from one GPU's measured step and the links' speed.
//! docs/scaling_model.md explains the model.

mod all_reduce;
mod blocks;
mod buckets;
mod chart;
mod job;
mod measured;
pub(crate) mod memory;
mod options;
mod probe_file;
mod scaling;
mod table;
#[cfg(test)]
mod testing;
mod verdict;

use std::fs;
use std::path::Path;

use anyhow::Result;
use regatta_anynet::Layout;
use regatta_run_folder::{ExitCode, RunFolder, Schema, StorageError, print_output, write_output};
use regatta_settings::{Recipe, TrainSettings};
use serde::Serialize;

use crate::failure::Usage;
use all_reduce::{AllReduce, Links};
use measured::{MicroBatchTimes, Run};
use memory::RankMemory;
pub(crate) use options::PlanCommand;
use scaling::{Row, Span, Step};
use verdict::Scaling;

/// The prediction for a job, and its inputs.
#[derive(Debug, Serialize)]
struct Plan {
    schema: Schema<1>,
    parameters: u64,
    global_batch_size: usize,
    micro_batch_size: usize,
    micro_batches: usize,
    nodes: usize,
    gpus_per_node: usize,
    memory_bytes: RankMemory,
    /// Host memory of the images that a rank loads ahead.
    loader_bytes: u64,
    /// Times of one micro-batch on one GPU.
    micro_batch_seconds: MicroBatchTimes,
    micro_batch_source: String,
    all_reduce_source: String,
    /// Whether buckets are all-reduced during backward.
    overlap: bool,
    buckets: usize,
    bucket_bytes: f64,
    train_images: usize,
    epochs: u64,
    /// Sizes of the training images from epoch to epoch. Memory, micro-batch and rows are those of the largest.
    sizes: Vec<Span>,
    rows: Vec<Row>,
    verdict: Scaling,
}

/// Prints the prediction, draws it with `--svg` and saves it with `--save`.
///
/// # Errors
/// If the recipe, the options or a measurement file are invalid, or the output cannot be written.
pub(crate) fn plan(command: &PlanCommand) -> Result<ExitCode> {
    let plan = build(command)?;
    if let Some(path) = &command.svg {
        write_output(path, command.force, chart::render_svg(&plan.rows)?)?;
    }
    if let Some(run) = &command.save {
        save(&plan, run, command.force)?;
    }
    match command.json {
        true => print_output(serde_json::to_string_pretty(&plan)?)?,
        false => print_output(table::render(&plan))?,
    }
    Ok(ExitCode::Done)
}

/// Saves the prediction in a run folder, which need not exist yet.
fn save(plan: &Plan, run: &Path, force: bool) -> Result<()> {
    fs::create_dir_all(run).map_err(StorageError::io("create the folder", run))?;
    write_output(RunFolder::new(run, "").plan(), force, serde_json::to_string_pretty(plan)? + "\n")?;
    Ok(())
}

fn build(command: &PlanCommand) -> Result<Plan> {
    let run = command.from_run.as_deref().map(Run::read).transpose()?;
    let recipe = job::resolved(command, run.as_ref())?;
    let training = job::training(command, &recipe)?;
    let (times, micro_batch_source) = times(command, run.as_ref(), &recipe)?;
    let (all_reduce, all_reduce_source) = all_reduce(command)?;
    let TrainSettings { global_batch_size, micro_batch_size, epochs, .. } = recipe.train;
    let side = recipe.data.resolution_px.into();
    let network = recipe.network();
    let summary = network.summary(micro_batch_size as i64, side, side)?;
    let parameters = network.parameters();
    let layout = Layout::new(&parameters, recipe.bucket_caps());
    let buckets = buckets::of(&layout, &parameters, &blocks::backward_shares(&summary), &recipe);
    let overlap = job::sums_during_backward(&recipe);
    let trailing_bytes = scaling::trailing_bytes(&summary, &recipe);
    let step = Step { micro_batch_size, times, buckets, trailing_bytes, overlap, all_reduce };
    let rows = scaling::rows(&step, &training, command.gpus());
    Ok(Plan {
        schema: Schema,
        parameters: summary.params,
        global_batch_size,
        micro_batch_size,
        micro_batches: global_batch_size.div_ceil(micro_batch_size),
        nodes: command.nodes,
        gpus_per_node: command.gpus_per_node,
        memory_bytes: memory::of(&summary, layout.len as u64, &recipe),
        loader_bytes: recipe.loader_bytes(),
        micro_batch_seconds: times,
        micro_batch_source,
        all_reduce_source,
        overlap,
        buckets: step.buckets.len(),
        bucket_bytes: step.buckets.iter().map(|bucket| bucket.bytes).sum(),
        train_images: training.images,
        epochs,
        sizes: training.spans,
        verdict: verdict::of(&step, &rows, global_batch_size),
        rows,
    })
}

fn times(command: &PlanCommand, run: Option<&Run>, recipe: &Recipe) -> Result<(MicroBatchTimes, String)> {
    match (run, command.step_ms) {
        (Some(run), _) => Ok((run.times_for(recipe)?, run.source())),
        (None, Some(step_ms)) => {
            let source = format!("--step-ms {step_ms}, a third of it forward");
            Ok((MicroBatchTimes::of_whole(step_ms / 1e3), source))
        }
        (None, None) => Err(Usage("a measured time is missing: --step-ms or --from-run".to_owned()).into()),
    }
}

fn all_reduce(command: &PlanCommand) -> Result<(AllReduce, String)> {
    if command.all_reduce.is_empty() {
        let links = Links {
            gpus: command.gpus(),
            gpus_per_node: command.gpus_per_node,
            intra_bytes_per_s: command.intra_gb_s * 1e9,
            inter_bytes_per_s: command.inter_gb_s * 1e9,
            latency_s: command.latency_us / 1e6,
        };
        let PlanCommand { intra_gb_s: intra, inter_gb_s: inter, latency_us: latency, .. } = command;
        return Ok((
            AllReduce::Links(links),
            format!("{intra} GB/s in a node, {inter} between nodes, {latency} us"),
        ));
    }
    let curves = command.all_reduce.iter().map(|path| probe_file::read(path)).collect::<Result<Vec<_>>>()?;
    let ranks: Vec<_> = curves.iter().map(|curve| curve.ranks.to_string()).collect();
    let source = format!("sums measured between {} ranks", ranks.join(" and "));
    Ok((AllReduce::Measured(curves), source))
}
