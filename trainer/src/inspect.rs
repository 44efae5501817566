//! `trainer recipe` and `trainer summary`: print a resolved recipe and its network without training.

use anyhow::Result;
use clap::Args;
use regatta_anynet::{Memory, Summary};
use regatta_comm::Launch;
use regatta_run_folder::{ExitCode, counted, print_output};
use regatta_settings::{Precision, Recipe, RecipeArgs, TrainedSize, schema_text};
use serde::Serialize;

use crate::failure::Usage;

/// `trainer recipe`.
#[derive(Debug, Args)]
pub(crate) struct RecipeCommand {
    #[command(flatten)]
    recipe: Option<RecipeArgs>,
    /// Prints every key with its type, default and meaning
    #[arg(long, exclusive = true)]
    schema: bool,
}

/// `trainer summary`.
#[derive(Debug, Args)]
pub(crate) struct SummaryCommand {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Prints the recipe, resolved for the number of ranks that the launcher started.
///
/// # Errors
/// An invalid recipe.
pub(crate) fn recipe(command: &RecipeCommand, launch: &Launch) -> Result<ExitCode> {
    if command.schema {
        print_output(schema_text())?;
    } else if let Some(args) = &command.recipe {
        let world_size = launch.world_size.map_or(1, |(_, size)| size);
        print_output(args.load()?.resolve(world_size, None)?.to_toml())?;
    }
    Ok(ExitCode::Done)
}

/// A network and the memory that training it needs.
#[derive(Debug, Serialize)]
struct Described {
    /// For one image.
    #[serde(flatten)]
    summary: Summary,
    /// Bytes, with the activations of a micro-batch.
    memory: Memory,
    /// Bytes of host memory of the images that are loaded ahead.
    loader_bytes: u64,
    /// Sizes of the training images, the smallest first; the other values are those of the largest.
    sizes: Vec<SizeCost>,
}

/// A size of the training images.
#[derive(Debug, Serialize)]
struct SizeCost {
    /// Height and width in pixels.
    px: u32,
    /// Number of epochs with it.
    epochs: u64,
    /// Multiply-adds of one image.
    flops: u64,
}

impl SizeCost {
    fn line(&self) -> String {
        let (px, epochs, millions) = (self.px, counted(self.epochs, "epoch"), self.flops as f64 / 1e6);
        format!("images of {px}x{px} in {epochs}: {millions:.2} million multiply-adds\n")
    }
}

/// Returns the sizes of the training images.
///
/// # Errors
/// An image too small for the network.
fn size_costs(recipe: &Recipe) -> Result<Vec<SizeCost>> {
    let network = recipe.network();
    let cost = |TrainedSize { px, epochs }| {
        let flops = network.summary(1, px.into(), px.into())?.flops;
        Ok(SizeCost { px, epochs, flops })
    };
    recipe.data.sizes(recipe.train.epochs).into_iter().map(cost).collect()
}

/// Prints the network for one image of the recipe's resolution, the largest if it changes.
///
/// # Errors
/// An invalid recipe, or an image too small for the network.
pub(crate) fn summary(command: &SummaryCommand, launch: &Launch) -> Result<ExitCode> {
    let world_size = launch.world_size.map_or(1, |(_, size)| size);
    let recipe = command.recipe.load()?.resolve(world_size, None)?;
    let side = i64::from(recipe.data.resolution_px);
    let network = recipe.network();
    let summary = network.summary(1, side, side)?;
    let (memory, sizes) = (memory(&recipe)?, size_costs(&recipe)?);
    if command.json {
        print_output(serde_json::to_string_pretty(&Described {
            summary,
            memory,
            loader_bytes: recipe.loader_bytes(),
            sizes,
        })?)?;
        return Ok(ExitCode::Done);
    }
    let mut blocks = String::new();
    for block in network.block_shapes(1, side, side)? {
        let shape: Vec<_> = block.output_shape[1..].iter().map(i64::to_string).collect();
        blocks += &format!("{:<8} {}\n", block.name, shape.join("x"));
    }
    if recipe.data.changes_resolution() {
        blocks += "\n";
        blocks.extend(sizes.iter().map(SizeCost::line));
    }
    let memory = memory_line(&recipe, world_size, memory);
    let ahead = mib(recipe.loader_bytes());
    let table = summary.to_table();
    print_output(format_args!("{table}\n{blocks}\n{memory}\nimages loaded ahead: {ahead} of host memory"))?;
    Ok(ExitCode::Done)
}

/// Returns what a rank's weights, gradients, optimizer state and activations are estimated to take, as one line.
pub(crate) fn memory_estimate(recipe: &Recipe, world_size: usize) -> Result<String> {
    Ok(memory_line(recipe, world_size, memory(recipe)?))
}

/// Returns the estimate in bytes, with the activations of one micro-batch.
fn memory(recipe: &Recipe) -> Result<Memory> {
    let side = i64::from(recipe.data.resolution_px);
    let micro_batch = recipe.network().summary(recipe.train.micro_batch_size as i64, side, side);
    let micro_batch = micro_batch.map_err(|error| Usage(format!("train.micro_batch_size: {error}")))?;
    Ok(micro_batch.memory(recipe.elements(false)))
}

fn memory_line(recipe: &Recipe, world_size: usize, memory: Memory) -> String {
    let Memory { weights, gradients, optimizer, forward, backward } = memory;
    let (images, precision) = (recipe.train.micro_batch_size, recipe.train.precision);
    let precision = if precision == Precision::Auto { Precision::Fp32 } else { precision };
    format!(
        "memory of one rank of {world_size}: weights {}, gradients {}, optimizer {}; activations of {images} images in {}, estimated: \
         forward {}, backward {} more",
        mib(weights),
        mib(gradients),
        mib(optimizer),
        format!("{precision:?}").to_lowercase(),
        mib(forward),
        mib(backward)
    )
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}
