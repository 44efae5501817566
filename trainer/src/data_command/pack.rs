//! `trainer data pack`: packs images into tar archives.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use regatta_data::{Encoding, PackSettings, Shrink};
use regatta_run_folder::{ExitCode, counted, print_output};
use regatta_settings::RecipeArgs;

use super::{SplitName, bar, open};
use crate::failure::Usage;

/// `trainer data pack`.
#[derive(Debug, Args)]
pub(super) struct PackCommand {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// The split to pack
    #[arg(long, value_enum)]
    split: SplitName,
    /// Folder for the archives; a pack that was stopped continues there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Largest archive, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    shard_mib: u64,
    /// Resizes larger images to this length of the shorter side, in pixels; by default files are packed byte for byte
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(1..=65_500))]
    short_side_px: Option<u32>,
    /// JPEG quality of resized images
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u8).range(1..=100), requires = "short_side_px")]
    quality: u8,
}

/// Packs the split and prints the recipe's keys for the archives.
pub(super) fn run(command: &PackCommand) -> Result<ExitCode> {
    let (recipe, source) = open(&command.recipe, command.split)?;
    if source.encoding() != Encoding::Compressed {
        bail!(Usage(
            "data pack takes image files: set data.dataset to \"image_folder\" or \"tar_shards\"".to_owned()
        ));
    }
    let quality = command.quality;
    let resize = command.short_side_px.map(|short_side_px| Shrink { short_side_px, quality });
    let settings = PackSettings { shard_bytes: command.shard_mib << 20, seed: recipe.train.seed, resize };
    let bar = bar(source.len(), "packing");
    let progress = |done, _| bar.set_position(done as u64);
    let name = command.split.name();
    let shards = regatta_data::pack(&*source, &command.out, name, &settings, &progress)?;
    bar.finish_and_clear();
    let last = shards.len().saturating_sub(1);
    print_output(format_args!(
        "{} in {}:\n\n[data]\ndataset = \"tar_shards\"\nfolder = {:?}\n{name}_shards = \"{name}-{{000000..{last:06}}}.tar\"",
        counted(source.len(), "image"),
        counted(shards.len(), "archive"),
        command.out.display()
    ))?;
    Ok(ExitCode::Done)
}
