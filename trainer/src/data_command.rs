//! `trainer data`: reads, packs and shows the recipe's images, without training.

mod check;
mod pack;
mod show;

pub(crate) use show::shown_image;

use std::sync::Arc;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use indicatif::ProgressBar;
use regatta_data::{Source, Split};
use regatta_run_folder::ExitCode;
use regatta_settings::{Recipe, RecipeArgs};

use crate::datasets;
use crate::telemetry::counting_bar;

/// `trainer data`.
#[derive(Debug, Args)]
pub(crate) struct DataCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads every image completely; reports counts, sizes, colours and every damaged file
    Check(check::CheckCommand),
    /// Packs images into tar archives, as stored or resized once
    Pack(pack::PackCommand),
    /// Writes the images that the network is given, before normalisation, to a PNG file
    Show(show::ShowCommand),
}

/// A split, as an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SplitName {
    Train,
    Val,
}

impl SplitName {
    /// Returns the split.
    pub(crate) fn split(self) -> Split {
        match self {
            Self::Train => Split::Train,
            Self::Val => Split::Validation,
        }
    }

    /// The name in files and output.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
        }
    }
}

/// Runs the command.
///
/// # Errors
/// An invalid recipe, images that cannot be read, a file that exists or cannot be written.
pub(crate) fn data(command: &DataCommand) -> Result<ExitCode> {
    match &command.command {
        Command::Check(command) => check::run(command),
        Command::Pack(command) => pack::run(command),
        Command::Show(command) => show::run(command),
    }
}

/// Loads the recipe and opens one split of its data set, in this process alone.
fn open(args: &RecipeArgs, split: SplitName) -> Result<(Recipe, Arc<dyn Source>)> {
    let recipe = args.load()?.resolve(1, None)?;
    let source = datasets::open_alone(&recipe, split.split())?;
    Ok((recipe, source))
}

/// Returns the number of threads that read images: that of the recipe, or all cores.
fn threads(recipe: &Recipe) -> usize {
    match recipe.data.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

/// Returns a bar over `length` images.
fn bar(length: usize, what: &'static str) -> ProgressBar {
    let bar = counting_bar(what);
    bar.set_length(length as u64);
    bar
}
