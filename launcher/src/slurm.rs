//! `launcher slurm`: submits a run as a batch job that requeues itself, and checks it beforehand.

mod input;
mod limits;
mod script;
mod time;

use std::io::{ErrorKind, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use regatta_run_folder::{ExitCode, print_output};
use regatta_settings::RecipeArgs;

use crate::failure::Usage;
use crate::run::mpi::Via;
use crate::trainer_binary;
use script::Batch;

pub(crate) use input::{check as check_text, check_options};
pub(crate) use limits::{Request, check as check_request, partitions};
pub(crate) use script::TAIL;
pub(crate) use time::TimeLimit;

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
    /// Cores of each rank [default: the cluster's]
    #[arg(long, value_name = "N", value_parser = count)]
    cpus_per_rank: Option<NonZeroU32>,
    /// Time limit of each start
    #[arg(long, value_name = "[D-]HH:MM:SS")]
    time: TimeLimit,
    /// Seconds before the time limit at which the run is asked to stop; must cover a step and a checkpoint
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u16).range(1..))]
    checkpoint_seconds: u16,
    /// What starts the ranks
    #[arg(long, value_enum, default_value_t = Via::Srun)]
    via: Via,
    /// The trainer to start [default: TRAINER, or the one beside the launcher, or on the path]
    #[arg(long, value_name = "FILE")]
    trainer: Option<PathBuf>,
    /// Prints the script without submitting it
    #[arg(long)]
    dry_run: bool,
    /// Options for sbatch, as --name=value, such as --partition=gpu
    #[arg(last = true, value_name = "SBATCH OPTIONS")]
    extra: Vec<String>,
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
    check_options(&command.extra)?;
    if let Some(partitions) = partitions() {
        check_request(&partitions, &command.request())?;
        check_starter(command.via)?;
    }
    match command.dry_run {
        true => print_output(script)?,
        false => print_output(submit(&script, &command.extra)?)?,
    }
    Ok(ExitCode::Done)
}

impl SlurmCommand {
    /// Generates the script, after checking that the recipe is valid for the number of ranks.
    fn script(&self) -> Result<String> {
        let trainer = trainer_binary::find(self.trainer.as_deref())?;
        input::check_script(&self.recipe, &trainer)?;
        let name = self.recipe.run_name()?;
        let raw = self.recipe.load()?;
        let signal = raw.run.preemption_signal;
        let [nodes, ranks_per_node] = [self.nodes, self.ranks_per_node()].map(NonZeroU32::get);
        raw.resolve(nodes as usize * ranks_per_node as usize, None)?;
        check_time(self.time, self.checkpoint_seconds)?;
        Ok(Batch { command: self, trainer: &trainer, name: &name, signal }.script())
    }

    fn ranks_per_node(&self) -> NonZeroU32 {
        self.ranks_per_node.or(self.gpus_per_node).unwrap_or(NonZeroU32::MIN)
    }

    fn request(&self) -> Request {
        Request {
            nodes: self.nodes.get(),
            gpus_per_node: self.gpus_per_node.map_or(0, NonZeroU32::get),
            time: self.time,
            partition: requested_partition(&self.extra),
        }
    }
}

/// Rejects a time limit that ends before the run is asked to stop.
pub(crate) fn check_time(time: TimeLimit, checkpoint_seconds: u16) -> Result<(), Usage> {
    match time.0 <= u64::from(checkpoint_seconds) {
        true => Err(Usage(format!(
            "--time {time} leaves no time to train before the last --checkpoint-seconds {checkpoint_seconds}: ask for more time"
        ))),
        false => Ok(()),
    }
}

/// The partition named in sbatch's options or its variable.
pub(crate) fn requested_partition(options: &[String]) -> Option<String> {
    partition(options).or_else(|| std::env::var("SBATCH_PARTITION").ok())
}

/// The partition named in sbatch's options; the last one counts.
fn partition(options: &[String]) -> Option<String> {
    let mut options = options.iter();
    let mut named = None;
    while let Some(option) = options.next() {
        if option == "-p" {
            named = options.next().cloned();
        } else if let Some(name) = option.strip_prefix("--partition=").or_else(|| option.strip_prefix("-p")) {
            named = Some(name.to_owned());
        }
    }
    named
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

/// Hands the script to sbatch; returns the job's number.
///
/// # Errors
/// If there is no sbatch, or it rejects the job.
pub(crate) fn submit(script: &str, options: &[String]) -> Result<String> {
    let sbatch = Command::new("sbatch")
        .arg("--parsable")
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut sbatch = match sbatch {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Usage(
                "no sbatch on the path: submit from a node of the cluster, or print the script with --dry-run".into(),
            )
            .into());
        }
        outcome => outcome.context("cannot start sbatch")?,
    };
    // An sbatch that rejects its options exits without reading: its own message matters, not the broken pipe.
    _ = sbatch.stdin.take().map(|mut stdin| stdin.write_all(script.as_bytes()));
    let output = sbatch.wait_with_output().context("cannot wait for sbatch")?;
    if !output.status.success() {
        return Err(Usage(format!("sbatch rejected the job ({})", output.status)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_partition_named_counts() {
        let check = |options: &str, expected: Option<&str>| {
            let options: Vec<_> = options.split_whitespace().map(str::to_owned).collect();
            assert_eq!(partition(&options).as_deref(), expected, "{options:?}");
        };
        check("", None);
        check("--account=x --propagate", None);
        check("-p gpu --account=x", Some("gpu"));
        check("-pgpu", Some("gpu"));
        check("--partition=gpu,big -p debug", Some("debug"));
    }
}
