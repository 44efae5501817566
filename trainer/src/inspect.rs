//! `trainer recipe` and `trainer summary`: what a recipe means, without running it.

use anyhow::Result;
use clap::Args;
use regatta_comm::Launch;
use regatta_run::ExitCode;
use regatta_settings::{RecipeArgs, schema_text};

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

/// Prints the recipe as it would be resolved for as many ranks as the launcher started.
pub(crate) fn recipe(command: &RecipeCommand, launch: &Launch) -> Result<ExitCode> {
    if command.schema {
        print!("{}", schema_text());
    } else if let Some(args) = &command.recipe {
        let world_size = launch.world_size.map_or(1, |(_, size)| size);
        print!("{}", args.load()?.resolve(world_size, None)?.to_toml());
    }
    Ok(ExitCode::Done)
}

/// Prints the network at the recipe's resolution, for one image.
pub(crate) fn summary(command: &SummaryCommand) -> Result<ExitCode> {
    let recipe = command.recipe.load()?.resolve(1, None)?;
    let side = i64::from(recipe.data.resolution_px);
    let network = recipe.network();
    let summary = network.summary(1, side, side)?;
    if command.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
        return Ok(ExitCode::Done);
    }
    println!("{}", summary.to_table());
    for block in network.block_shapes(1, side, side)? {
        println!(
            "{:<8} {}",
            block.name,
            block.output_shape[1..].iter().map(i64::to_string).collect::<Vec<_>>().join("x")
        );
    }
    Ok(ExitCode::Done)
}
