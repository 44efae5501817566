//! `trainer data pack`: packs images into tar archives.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use regatta_data::{Encoding, PackSettings, ShardIndex, Shrink, Source, TarShards};
use regatta_run_folder::{ExitCode, counted, print_output};
use regatta_settings::{DataSource, Recipe, RecipeArgs};

use super::{SplitName, bar, open};
use crate::datasets::with_indexing;
use crate::failure::Usage;

/// `trainer data pack`.
#[derive(Debug, Args)]
pub(super) struct PackCommand {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// The split to pack
    #[arg(long, value_enum)]
    split: SplitName,
    /// Packs this tar archive in place of the recipe's images: for train one with an archive for each class, such as
    /// ILSVRC2012_img_train.tar; for val one of all images, such as ILSVRC2012_img_val.tar, with the recipe's data.val_labels
    #[arg(long, value_name = "FILE")]
    archive: Option<PathBuf>,
    /// The archive of the training images, which names the classes (for val with --archive)
    #[arg(long, value_name = "FILE", requires = "archive")]
    train_archive: Option<PathBuf>,
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

/// Returns the images of an archive as ImageNet's are distributed.
fn archived(command: &PackCommand, archive: &Path, recipe: &Recipe) -> Result<Arc<dyn Source>> {
    let labels = match &recipe.data.source {
        DataSource::ImageFolder { val_labels: Some(labels), .. } => Some(labels),
        _ => None,
    };
    let incomplete =
        "an archive of validation images needs --train-archive FILE, for the classes, and data.val_labels";
    let index = with_indexing(|indexing| match (command.split, &command.train_archive, labels) {
        (SplitName::Train, ..) => Ok(ShardIndex::archive_of_classes(archive, indexing)?.0),
        (SplitName::Val, Some(train), Some(labels)) => {
            let (train, _) = ShardIndex::archive_of_classes(train, indexing)?;
            Ok(ShardIndex::archive_with_labels(archive, labels, &train, indexing)?.0)
        }
        (SplitName::Val, ..) => bail!(Usage(incomplete.to_owned())),
    })?;
    Ok(Arc::new(TarShards::new(vec![archive.to_owned()], index)))
}

/// Packs the split and prints the recipe's keys for the archives.
pub(super) fn run(command: &PackCommand) -> Result<ExitCode> {
    let (recipe, source) = match &command.archive {
        None => open(&command.recipe, command.split)?,
        Some(archive) => {
            let recipe = command.recipe.load()?.resolve(1, None)?;
            let source = archived(command, archive, &recipe)?;
            (recipe, source)
        }
    };
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
