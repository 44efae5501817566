//! The training process of one rank, from recipe to last checkpoint, and the commands that inspect recipes and checkpoints.
//!
//! Reading order: this file, `session`, `trainer`, `step`, and the reducer in `regatta-comm`.

// `println!` and `eprintln!` panic when the reader is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod session;
mod start;
mod world;

mod trainer;

mod in_flight;
mod recording;
mod step;

mod attribution;
mod automatic;
mod average;
mod control;
mod datasets;
mod feed;
mod frozen;
mod image_order;
mod input;
mod loss;
mod loss_scale;
mod mixing;
mod optimizer;
mod preparation;
mod replica;
mod save_clock;
mod schedule;
mod stragglers;
mod upload;

mod debug;
mod evaluate;
mod precise;

mod checkpoint;
mod clock;
mod export;
mod gpu_sensors;
mod memory;
mod pretrained;
mod progress;
mod records;
mod sheet;
mod telemetry;
mod tensor_file;
mod tensorboard;
mod terminal;
mod timing;

mod device;
mod failure;
mod libtorch_errors;
mod signals;
mod time_limit;

mod data_command;
mod evaluate_command;
mod inspect;
mod probe;

#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use regatta_comm::{Launch, explain_exhausted_memory, unblock_stop_signals};
use regatta_settings::{RecipeArgs, parse_command_line};
use regatta_torch_ext::keep_freed_memory;

/// Trains convolutional networks of the AnyNet / RegNet family, one process per GPU or group of cores.
#[derive(Debug, Parser)]
#[command(name = "trainer", version, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    recipe: Option<RecipeArgs>,
    #[command(flatten)]
    flags: session::Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints the resolved recipe as TOML, or every key that a recipe may have
    Recipe(inspect::RecipeCommand),
    /// Prints the network layer by layer: output shapes, parameters, multiply-adds, activations
    Summary(inspect::SummaryCommand),
    /// Writes a checkpoint's weights to a file that torchvision or timm loads, or as an ONNX model
    Export(export::ExportCommand),
    /// Evaluates a checkpoint or a weights file: accuracy by class, confusion matrix, predictions
    Evaluate(evaluate_command::EvaluateCommand),
    /// Reads, packs and shows the recipe's images
    Data(data_command::DataCommand),
    /// Measures the device, NCCL and the all-reduce times of this machine and its ranks
    Probe(probe::ProbeCommand),
}

/// Time limit for writing the last lines to the terminal.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let process = Instant::now();
    let launch = Launch::from_environment();
    explain_exhausted_memory();
    failure::install_panic_hook(launch.rank);
    keep_freed_memory();
    let cli = parse_command_line::<Cli>();
    if cli.command.is_some() {
        unblock_stop_signals(); // only training installs its handlers first
    }
    let outcome = match (cli.command, cli.recipe) {
        (Some(Command::Recipe(command)), _) => inspect::recipe(&command, &launch),
        (Some(Command::Summary(command)), _) => inspect::summary(&command, &launch),
        (Some(Command::Export(command)), _) => export::export(&command),
        (Some(Command::Evaluate(command)), _) => evaluate_command::evaluate(&command, &launch),
        (Some(Command::Data(command)), _) => data_command::data(&command),
        (Some(Command::Probe(command)), _) => probe::probe(&command, &launch),
        (None, Some(recipe)) => session::train(&recipe, cli.flags, &launch, process),
        (None, None) => unreachable!("clap asks for --config"),
    };
    match outcome {
        Ok(code) => {
            terminal::flush(FLUSH_LIMIT);
            ExitCode::from(code.code() as u8)
        }
        Err(error) => failure::end_with(&error, launch.rank),
    }
}
