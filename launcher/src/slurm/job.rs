//! Options of batch jobs, whatever they run: what they ask of the cluster, and their way to sbatch.

use std::io::{ErrorKind, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use regatta_run_folder::print_output;

use super::count;
use super::input::check_options;
use super::limits::{self, Partition, Request};
use super::time::TimeLimit;
use crate::failure::Usage;
use crate::run::command_line::shell_quoted;

/// Options of a batch job.
#[derive(Debug, clap::Args)]
pub(crate) struct JobOptions {
    /// Cores of each rank [default: the cluster's]
    #[arg(long, value_name = "N", value_parser = count)]
    pub(super) cpus_per_rank: Option<NonZeroU32>,
    /// Time limit of each start
    #[arg(long, value_name = "[D-]HH:MM:SS")]
    time: TimeLimit,
    /// Seconds before the time limit at which runs are asked to stop; must cover a step and a checkpoint
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u16).range(1..))]
    checkpoint_seconds: u16,
    /// The trainer to start [default: TRAINER, or the one beside the launcher, or on the path]
    #[arg(long, value_name = "FILE")]
    pub(crate) trainer: Option<PathBuf>,
    /// Prints the script without submitting it
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Options for sbatch, as --name=value, such as --partition=gpu
    #[arg(last = true, value_name = "SBATCH OPTIONS")]
    extra: Vec<String>,
}

/// What a job gets of the cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resources {
    pub(crate) nodes: u32,
    pub(crate) ranks_per_node: u32,
    pub(crate) gpus_per_node: Option<u32>,
}

impl JobOptions {
    /// Checks the options by themselves.
    ///
    /// # Errors
    /// If the time limit ends before the run is asked to stop, or sbatch would run something else than the script.
    pub(crate) fn check(&self) -> Result<(), Usage> {
        let Self { time, checkpoint_seconds, .. } = self;
        if time.0 <= u64::from(*checkpoint_seconds) {
            return Err(Usage(format!(
                "--time {time} leaves no time to train before the last --checkpoint-seconds {checkpoint_seconds}: ask for more time"
            )));
        }
        check_options(&self.extra)
    }

    /// Checks that one of the partitions that the job is for can run it.
    ///
    /// # Errors
    /// If none can.
    pub(crate) fn check_partition(&self, partitions: &[Partition], asked: Resources) -> Result<(), Usage> {
        let partition = partition(&self.extra).or_else(|| std::env::var("SBATCH_PARTITION").ok());
        let gpus_per_node = asked.gpus_per_node.unwrap_or(0);
        limits::check(partitions, &Request { nodes: asked.nodes, gpus_per_node, time: self.time, partition })
    }

    /// Generates the `#SBATCH` lines of the script.
    pub(crate) fn directives(&self, name: &str, asked: Resources, signal: &str, log: &str) -> String {
        let mut options = vec![
            format!("job-name={}", shell_quoted(name)),
            format!("nodes={}", asked.nodes),
            format!("ntasks-per-node={}", asked.ranks_per_node),
        ];
        options.extend(asked.gpus_per_node.map(|gpus| format!("gpus-per-node={gpus}")));
        options.extend(self.cpus_per_rank.map(|cores| format!("cpus-per-task={cores}")));
        options.extend([
            format!("time={}", self.time),
            "requeue".to_owned(),
            format!("signal=B:{signal}@{}", self.checkpoint_seconds),
            "open-mode=append".to_owned(),
            format!("output={}", shell_quoted(log)),
        ]);
        options.iter().map(|option| format!("#SBATCH --{option}\n")).collect()
    }

    /// Prints the script, or hands it to sbatch and prints the job's number.
    ///
    /// # Errors
    /// If there is no sbatch, or it rejects the job.
    pub(crate) fn submit(&self, script: &str) -> Result<()> {
        match self.dry_run {
            true => print_output(script)?,
            false => print_output(submit(script, &self.extra)?)?,
        }
        Ok(())
    }
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

/// Hands the script to sbatch; returns the job's number.
///
/// # Errors
/// If there is no sbatch, or it rejects the job.
fn submit(script: &str, options: &[String]) -> Result<String> {
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
