//! `launcher slurm`: submits a run as a batch job that requeues itself, and checks it beforehand.

mod input;
mod job;
mod limits;
mod script;
mod time;

use std::num::NonZeroU32;
use std::process::Command;

use anyhow::Result;
use regatta_run_folder::ExitCode;
use regatta_settings::RecipeArgs;

use crate::failure::Usage;
use crate::run::mpi::Via;
use crate::trainer_binary;
use script::Batch;

pub(crate) use input::check as check_text;
pub(crate) use job::{JobOptions, Resources};
pub(crate) use limits::partitions;
pub(crate) use script::TAIL;

/// Options of `launcher slurm`.
#[derive(Debug, clap::Args)]
#[command(mut_arg("resume", |resume| resume.default_value("auto")))]
pub(crate) struct SlurmCommand {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Number of nodes
    #[arg(long, value_name = "N", value_parser = count)]
    nodes: NonZeroU32,
    /// GPUs of each node that the job takes
    #[arg(long, value_name = "N", required_unless_present = "ranks_per_node", value_parser = count)]
    gpus_per_node: Option<NonZeroU32>,
    /// Ranks on each node [default: one per GPU]
    #[arg(long, value_name = "N", value_parser = count)]
    ranks_per_node: Option<NonZeroU32>,
    /// What starts the ranks
    #[arg(long, value_enum, default_value_t = Via::Srun)]
    via: Via,
    #[command(flatten)]
    job: JobOptions,
}

/// Parses a number of things, at least one.
pub(crate) fn count(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "expected a number, at least 1".to_owned())
}

/// Prints the script, or submits it and prints the job's number.
///
/// # Errors
/// If the recipe or the options are invalid, no partition can run the job, or sbatch rejects it.
pub(crate) fn slurm(command: &SlurmCommand) -> Result<ExitCode> {
    let script = command.script()?;
    if let Some(partitions) = partitions() {
        command.job.check_partition(&partitions, command.resources())?;
        check_starter(command.via)?;
    }
    command.job.submit(&script)?;
    Ok(ExitCode::Done)
}

impl SlurmCommand {
    /// Generates the script, after checking that the recipe is valid for the number of ranks.
    fn script(&self) -> Result<String> {
        let trainer = trainer_binary::find(self.job.trainer.as_deref())?;
        input::check_script(&self.recipe, &trainer)?;
        let name = self.recipe.run_name()?;
        let raw = self.recipe.load()?;
        let signal = raw.run.preemption_signal;
        let Resources { nodes, ranks_per_node, .. } = self.resources();
        raw.resolve(nodes as usize * ranks_per_node as usize, None)?;
        self.job.check()?;
        Ok(Batch { command: self, trainer: &trainer, name: &name, signal }.script())
    }

    fn resources(&self) -> Resources {
        Resources {
            nodes: self.nodes.get(),
            ranks_per_node: self.ranks_per_node.or(self.gpus_per_node).map_or(1, NonZeroU32::get),
            gpus_per_node: self.gpus_per_node.map(NonZeroU32::get),
        }
    }
}

/// Rejects srun if Slurm was built without PMIx, which Open MPI's ranks need to find each other.
fn check_starter(via: Via) -> Result<(), Usage> {
    let Ok(output) = Command::new("srun").arg("--mpi=list").output() else { return Ok(()) };
    let listed = [output.stdout, output.stderr].concat();
    match via == Via::Srun && output.status.success() && !String::from_utf8_lossy(&listed).contains("pmix") {
        true => Err(Usage("this Slurm has no PMIx (srun --mpi=list): use --via mpirun".into())),
        false => Ok(()),
    }
}
