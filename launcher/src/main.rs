//! The launcher: starts and supervises the ranks of a job, checks a cluster before a run and explains a run's end afterwards.
//! Never links libtorch.

// The print macros panic when the reader of a pipe is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod run;
mod slurm;
mod sweep;
mod watch;

mod autopsy;
mod doctor;
mod plan;
mod report;

mod documents;
mod failure;
mod process_tree;
mod stop;
mod text_file;
mod timed;
mod trainer_binary;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use regatta_settings::parse_command_line;

/// Starts, watches and explains training jobs
#[derive(Debug, Parser)]
#[command(name = "launcher", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the ranks of a job, watches them, and restarts them from the newest checkpoint when they fail
    Run(Box<run::RunCommand>),
    /// Draws networks of design spaces, trains them and compares the spaces
    Sweep(Box<sweep::SweepCommand>),
    /// Submits a run to Slurm as a batch job that saves a checkpoint before its time limit and requeues itself
    Slurm(Box<slurm::SlurmCommand>),
    /// Checks hosts, GPUs, versions, limits, storage and all-reduce speed before a long run, and suggests remedies
    Doctor(Box<doctor::DoctorCommand>),
    /// Predicts memory, step time and scaling on a cluster from one GPU's measured step
    Plan(Box<plan::PlanCommand>),
    /// Compares runs: a table, the differences of their recipes, and a page with curves, step times, ranks and attempts
    Report(report::ReportCommand),
    /// Serves the page of a run, or of all runs of a folder, and keeps it current while they train
    Watch(watch::WatchCommand),
    /// Explains how a run ended from the files that its ranks left: who failed first, and who waited for whom
    Autopsy(autopsy::AutopsyCommand),
    /// Prints the completion script of a shell
    Completions(documents::CompletionsCommand),
    /// Writes manual pages, one for each command
    Man(documents::ManCommand),
}

fn main() -> ExitCode {
    match run(parse_command_line::<Cli>().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => failure::report(&error),
    }
}

fn run(command: Command) -> Result<u8> {
    let code = match command {
        Command::Run(command) => return run::run(&command),
        Command::Sweep(command) => return sweep::sweep(&command),
        Command::Slurm(command) => slurm::slurm(&command),
        Command::Doctor(command) => doctor::doctor(&command),
        Command::Plan(command) => plan::plan(&command),
        Command::Report(command) => report::report(&command),
        Command::Watch(command) => watch::watch(&command),
        Command::Autopsy(command) => autopsy::autopsy(&command),
        Command::Completions(command) => documents::completions(&command),
        Command::Man(command) => documents::man(&command),
    };
    code.map(|code| code.code() as u8)
}
