//! `launcher run`: starts the ranks of a job, watches them, and starts them again from the newest checkpoint.

pub(crate) mod command_line;
pub(crate) mod gpus;
pub(crate) mod hosts;
pub(crate) mod mpi;
pub(crate) mod placement;

mod output;
mod ranks;
mod scratch;
mod watch;

mod cause;
mod notice;
mod policy;
mod progress;
mod supervisor;
mod world;

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use regatta_run_folder::{ExitCode, RunFolder, print_output};
use regatta_settings::{PreemptionSignal, RecipeArgs, Resume};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::failure::Usage;
use command_line::Job;
use gpus::Wanted;
use hosts::Host;
use mpi::{Starter, has_no_remote_shell};
use placement::{Placement, check_ranks, rank_count};
use policy::Limits;
use supervisor::Supervisor;
use watch::Patience;

/// What `launcher run` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct RunCommand {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Number of ranks [default: one a GPU, or a slot of the hosts, or a task of the allocation; else 1]
    #[arg(short = 'n', long, value_name = "N", value_parser = rank_count)]
    ranks: Option<usize>,
    /// GPUs of this host to use: all, none (ranks compute on CPUs), or numbers such as 0,1,3
    #[arg(long, value_name = "all|none|LIST", default_value = "all")]
    gpus: Wanted,
    #[command(flatten)]
    placement: Placement,
    /// What starts the ranks [default: mpirun]
    #[arg(long)]
    via: Option<Via>,
    /// Threads of each rank [default: its share of the cores]
    #[arg(long, value_name = "N")]
    threads_per_rank: Option<usize>,
    /// Allows more ranks than cores
    #[arg(long)]
    oversubscribe: bool,
    /// Allows to run as root
    #[arg(long)]
    allow_run_as_root: bool,
    /// Times that a failed job is started again from its newest checkpoint
    #[arg(long, value_name = "N", default_value_t = 3)]
    max_restarts: usize,
    /// Seconds before the first restart; doubled each time that no new checkpoint was reached
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    back_off: f64,
    /// Goes on with fewer ranks, down to this many, when a host or a GPU is gone
    #[arg(long, value_name = "M")]
    min_ranks: Option<usize>,
    /// Seconds without any progress after which the ranks are ended
    #[arg(long, value_name = "SECONDS", default_value_t = 1800.0, value_parser = seconds_above_zero)]
    stall_timeout: f64,
    /// Seconds that ranks have to save a checkpoint once they are asked to stop
    #[arg(long, value_name = "SECONDS", default_value_t = 120.0, value_parser = seconds)]
    grace: f64,
    /// Prints the command that starts the ranks, and starts nothing
    #[arg(long)]
    dry_run: bool,
    /// Options for mpirun or srun
    #[arg(last = true, value_name = "OPTIONS")]
    extra: Vec<String>,
}

/// What starts ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Via {
    /// MPI's own
    Mpirun,
    /// Slurm's, where it has PMIx
    Srun,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..1e9).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number of seconds".into()),
    }
}

fn seconds_above_zero(text: &str) -> Result<f64, String> {
    let above_zero = seconds(text).ok().filter(|&seconds| seconds > 0.0);
    above_zero.ok_or_else(|| "expected a number of seconds above 0".into())
}

/// Runs the job to its end; returns the exit code to end with.
pub(crate) fn run(command: &RunCommand) -> Result<u8> {
    // Before anything is started or asked: a signal counts from the first moment.
    let signals =
        Signals::new([SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP]).context("cannot watch signals")?;
    let raw = command.recipe.load()?;
    let job = command.job(raw.run.preemption_signal)?;
    if command.dry_run {
        print_output(job.command_line())?;
        return Ok(ExitCode::Done.code() as u8);
    }
    Supervisor {
        job,
        resumed: command.arguments(&Resume::Auto),
        folder: RunFolder::new(&raw.run.folder, command.recipe.run_name()?),
        stop_signal: signal_of(raw.run.preemption_signal),
        patience: Patience {
            grace: Duration::from_secs_f64(command.grace),
            stall: Duration::from_secs_f64(command.stall_timeout),
        },
        limits: Limits {
            max_restarts: command.max_restarts,
            back_off: Duration::from_secs_f64(command.back_off),
        },
        min_ranks: command.min_ranks,
    }
    .run(signals)
}

fn signal_of(signal: PreemptionSignal) -> rustix::process::Signal {
    match signal {
        PreemptionSignal::Usr1 => rustix::process::Signal::USR1,
        PreemptionSignal::Usr2 => rustix::process::Signal::USR2,
    }
}

/// What ranks are started with held back: the signals that ask them to stop, where `env` can do it (coreutils from 8.31 on).
fn held_signals(signal: PreemptionSignal) -> Vec<&'static str> {
    let mut tried = Command::new("env");
    tried
        .args(["--block-signal=USR2", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let preemption = match signal {
        PreemptionSignal::Usr1 => "USR1",
        PreemptionSignal::Usr2 => "USR2",
    };
    match tried.status().is_ok_and(|status| status.success()) {
        true => vec!["INT", "TERM", preemption],
        false => Vec::new(),
    }
}

impl RunCommand {
    /// What is asked for, checked against this host.
    fn job(&self, signal: PreemptionSignal) -> Result<Job> {
        let in_allocation = std::env::var_os("SLURM_JOB_ID").is_some();
        let hosts = self.placement.hosts()?;
        let starter = match self.via {
            Some(Via::Srun) if !in_allocation => {
                return Err(
                    Usage("--via srun is for inside of a Slurm allocation (sbatch, salloc)".into()).into()
                );
            }
            Some(Via::Srun) if !hosts.is_empty() => {
                return Err(Usage(
                    "--via srun takes its hosts from the allocation: leave --hosts out".into(),
                )
                .into());
            }
            Some(Via::Srun) => Starter::srun(),
            _ => self.placement.mpirun()?,
        };
        let is_here = hosts.is_empty() && !in_allocation;
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let gpus =
            if is_here { gpus::choose(&self.gpus, gpus::present(), visible.as_deref())? } else { Vec::new() };
        let ranks = self.ranks(&hosts, &gpus)?;
        if is_here {
            self.check_this_host(ranks, &gpus)?;
        }
        Ok(Job {
            starter,
            ranks,
            hosts,
            in_allocation,
            visible_gpus: match &self.gpus {
                Wanted::List(_) if is_here => Some(gpus.join(",")),
                Wanted::List(numbers) => Some(joined(numbers)),
                Wanted::All | Wanted::None => None,
            },
            interface: self.placement.interface.clone(),
            oversubscribe: self.oversubscribe,
            as_root: self.check_root()?,
            forwarded: forwarded(),
            isolated: has_no_remote_shell(),
            held_signals: held_signals(signal),
            extra: self.extra.clone(),
            trainer: self.placement.trainer()?,
            arguments: self.arguments(&self.recipe.resume),
        })
    }

    fn ranks(&self, hosts: &[Host], gpus: &[String]) -> Result<usize, Usage> {
        let slots: usize = hosts.iter().map(|host| host.slots).sum();
        let tasks = || std::env::var("SLURM_NTASKS").ok()?.parse().ok();
        let ranks = match self.ranks {
            Some(ranks) => ranks,
            None if slots > 0 => slots,
            None => tasks().unwrap_or(gpus.len()).max(1),
        };
        check_ranks(ranks, hosts)?;
        match self.min_ranks {
            Some(min) if min == 0 || min > ranks => {
                Err(Usage(format!("--min-ranks {min}: expected a number from 1 to the {ranks} ranks")))
            }
            _ => Ok(ranks),
        }
    }

    fn check_this_host(&self, ranks: usize, gpus: &[String]) -> Result<(), Usage> {
        if !gpus.is_empty() && ranks > gpus.len() {
            let (have, plural) = (gpus.len(), if gpus.len() == 1 { "" } else { "s" });
            return Err(Usage(format!(
                "{ranks} ranks, but {have} GPU{plural} to use here: one rank a GPU, or --gpus none for ranks on CPUs"
            )));
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if ranks > cores && !self.oversubscribe {
            return Err(Usage(format!(
                "{ranks} ranks, but {cores} cores here: fewer ranks, or --oversubscribe where that is meant"
            )));
        }
        Ok(())
    }

    /// Whether root starts the ranks, where that is allowed.
    fn check_root(&self) -> Result<bool, Usage> {
        if !rustix::process::geteuid().is_root() {
            return Ok(false);
        }
        let allowed = |name: &str| std::env::var(name).is_ok_and(|value| value == "1");
        let by_variables = allowed("OMPI_ALLOW_RUN_AS_ROOT") && allowed("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM");
        if self.allow_run_as_root || by_variables || self.dry_run {
            return Ok(true);
        }
        Err(Usage(
            "this is root, and mpirun refuses that: be somebody else, or say --allow-run-as-root".into(),
        ))
    }

    /// The trainer's arguments.
    fn arguments(&self, resume: &Resume) -> Vec<String> {
        let RecipeArgs { config, set, name, .. } = &self.recipe;
        let resume = match resume {
            Resume::Auto => "auto".to_owned(),
            Resume::Never => "never".to_owned(),
            Resume::Path(path) => path.display().to_string(),
        };
        let mut arguments =
            vec!["--config".to_owned(), config.display().to_string(), "--resume".to_owned(), resume];
        let threads = self.threads_per_rank.map(|threads| format!("train.threads_per_rank={threads}"));
        let device = (self.gpus == Wanted::None).then(|| "train.device=\"cpu\"".to_owned());
        for key in set.iter().cloned().chain(threads).chain(device) {
            arguments.extend(["--set".to_owned(), key]);
        }
        if let Some(name) = name {
            arguments.extend(["--name".to_owned(), name.clone()]);
        }
        arguments
    }
}

/// Names of the variables that ranks read, wherever they are.
pub(crate) fn forwarded() -> Vec<String> {
    let is_read = |name: &String| {
        ["REGATTA__", "NCCL_", "UCX_"].iter().any(|prefix| name.starts_with(prefix))
            || ["LD_LIBRARY_PATH", "RUST_LOG", "CUDA_VISIBLE_DEVICES"].contains(&name.as_str())
    };
    let mut names: Vec<_> =
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(is_read).collect();
    names.sort_unstable();
    names
}

fn joined(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}
