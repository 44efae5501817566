//! `launcher run`: starts the ranks of a job, watches them, and restarts them from the newest checkpoint when they fail.

pub(crate) mod command_line;
pub(crate) mod gpus;
pub(crate) mod hosts;
pub(crate) mod mpi;
pub(crate) mod placement;

mod output;
pub(crate) mod ranks;
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

use anyhow::Result;
use regatta_run_folder::{ExitCode, RunFolder, counted, print_output};
use regatta_settings::{PreemptionSignal, RawRecipe, RecipeArgs, Resume};

use crate::failure::Usage;
use crate::stop::StopSignals;
use command_line::Job;
use gpus::GpuSelection;
use mpi::Via;
use placement::{Placement, cores};
use policy::Limits;
use supervisor::Supervisor;
use watch::Patience;

/// Options of `launcher run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunCommand {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// GPUs to use on each host: all, none (ranks compute on CPUs), or numbers such as 0,1,3
    #[arg(long, value_name = "all|none|LIST", default_value = "all")]
    gpus: GpuSelection,
    #[command(flatten)]
    placement: Placement,
    /// What starts the ranks
    #[arg(long, value_enum, default_value_t = Via::Mpirun)]
    via: Via,
    /// Threads of each rank [default: its share of the cores]
    #[arg(long, value_name = "N")]
    threads_per_rank: Option<usize>,
    /// Allows more ranks than cores
    #[arg(long)]
    oversubscribe: bool,
    /// Allows running as root
    #[arg(long)]
    allow_run_as_root: bool,
    /// How often a failed job is restarted from its newest checkpoint
    #[arg(long, value_name = "N", default_value_t = 3)]
    max_restarts: usize,
    /// Seconds before the first restart; doubled after each attempt that saved no new checkpoint
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    back_off: f64,
    /// Continues with fewer ranks, but at least this many, when a host or a GPU is lost
    #[arg(long, value_name = "M")]
    min_ranks: Option<usize>,
    /// Seconds without progress after which the ranks are ended
    #[arg(long, value_name = "SECONDS", default_value_t = 1800.0, value_parser = seconds_above_zero)]
    stall_timeout: f64,
    /// Seconds for ranks to save a checkpoint once they are asked to stop
    #[arg(long, value_name = "SECONDS", default_value_t = 120.0, value_parser = seconds)]
    grace: f64,
    /// Prints the command that starts the ranks without running it
    #[arg(long)]
    dry_run: bool,
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

/// Runs the job to its end and returns the launcher's exit code.
///
/// # Errors
/// If the recipe or the options are invalid, or the ranks cannot be started.
pub(crate) fn run(command: &RunCommand) -> Result<u8> {
    let stop = StopSignals::watch()?;
    let args = command.recipe();
    let raw = args.load()?;
    let job = command.job(&args, &raw)?;
    if command.dry_run {
        print_output(job.command_line())?;
        return Ok(ExitCode::Done.code() as u8);
    }
    Supervisor {
        job,
        folder: RunFolder::new(&raw.run.folder, args.run_name()?),
        resumed: RecipeArgs { resume: Resume::Auto, ..args }.to_arguments(),
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
    .run(stop)
}

fn signal_of(signal: PreemptionSignal) -> rustix::process::Signal {
    match signal {
        PreemptionSignal::Usr1 => rustix::process::Signal::USR1,
        PreemptionSignal::Usr2 => rustix::process::Signal::USR2,
    }
}

/// The stop signals to block while ranks start, or none if `env` cannot block signals (coreutils before 8.31).
fn blocked_signals(signal: PreemptionSignal) -> Vec<&'static str> {
    let mut block_usr2 = Command::new("env");
    block_usr2
        .args(["--block-signal=USR2", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match block_usr2.status().is_ok_and(|status| status.success()) {
        true => vec!["INT", "TERM", signal.name()],
        false => Vec::new(),
    }
}

impl RunCommand {
    /// The recipe's arguments, with the keys that `--threads-per-rank` and `--gpus none` set.
    fn recipe(&self) -> RecipeArgs {
        let mut recipe = self.recipe.clone();
        recipe.set.extend(self.threads_per_rank.map(|threads| format!("train.threads_per_rank={threads}")));
        recipe.set.extend((self.gpus == GpuSelection::None).then(|| "train.device=\"cpu\"".to_owned()));
        recipe
    }

    /// Builds the job that trains the recipe and checks it against this host.
    fn job(&self, args: &RecipeArgs, raw: &RawRecipe) -> Result<Job> {
        let starter = self.placement.starter(self.via)?;
        let job = self.placement.job(starter, raw.train.device, &self.gpus)?;
        self.check_ranks(&job)?;
        if job.as_root && !self.dry_run {
            check_root(self.allow_run_as_root)?;
        }
        Ok(Job {
            oversubscribe: self.oversubscribe,
            blocked_signals: blocked_signals(raw.run.preemption_signal),
            arguments: args.to_arguments(),
            ..job
        })
    }

    fn check_ranks(&self, job: &Job) -> Result<(), Usage> {
        let (ranks, gpus, cores) = (job.ranks, job.gpus, cores());
        if let Some(min) = self.min_ranks.filter(|&min| min == 0 || min > ranks) {
            return Err(Usage(format!("--min-ranks {min}: expected a number from 1 to the {ranks} ranks")));
        }
        if gpus > 0 && ranks > gpus {
            return Err(Usage(format!(
                "{ranks} ranks, but {} available: use one rank per GPU, or --gpus none for ranks on CPUs",
                counted(gpus, "GPU")
            )));
        }
        if job.is_on_this_host() && ranks > cores && !self.oversubscribe {
            return Err(Usage(format!(
                "{ranks} ranks, but this host has {}: use fewer ranks, or pass --oversubscribe",
                counted(cores, "core")
            )));
        }
        Ok(())
    }
}

/// Rejects starting ranks as root unless it is allowed explicitly, by an option or by Open MPI's variables.
pub(crate) fn check_root(is_allowed: bool) -> Result<(), Usage> {
    let allowed = |name: &str| std::env::var(name).is_ok_and(|value| value == "1");
    let by_variables = allowed("OMPI_ALLOW_RUN_AS_ROOT") && allowed("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM");
    if is_allowed || by_variables || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Usage("mpirun refuses to run as root: use another user, or pass --allow-run-as-root".into()))
}
