//! Placement of ranks: the options shared by all commands that start ranks, and their conversion to a [`Job`].

use std::path::PathBuf;

use anyhow::Result;
use regatta_run_folder::counted;
use regatta_settings::Device;

use super::command_line::Job;
use super::gpus::{self, GpuSelection};
use super::hosts::{Host, HostOptions};
use super::mpi::{Starter, Via, has_no_remote_shell};
use crate::failure::Usage;
use crate::trainer_binary;

/// Options for ranks, hosts, programs and the network.
#[derive(Debug, clap::Args)]
pub(crate) struct Placement {
    /// Number of ranks [default: one per GPU, per slot of the hosts or per task of the allocation; else 1]
    #[arg(short = 'n', long, value_name = "N", value_parser = rank_count)]
    ranks: Option<usize>,
    #[command(flatten)]
    hosts: HostOptions,
    #[command(flatten)]
    programs: ProgramOptions,
}

/// Options for programs and the network.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ProgramOptions {
    /// The mpirun to use [default: MPIRUN, or the one on the path]
    #[arg(long, value_name = "FILE")]
    pub(crate) mpirun: Option<PathBuf>,
    /// The trainer to start [default: TRAINER, or the one beside the launcher, or on the path]
    #[arg(long, value_name = "FILE")]
    pub(crate) trainer: Option<PathBuf>,
    /// The network interface for MPI and NCCL between hosts
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
    /// Options for mpirun or srun
    #[arg(last = true, value_name = "OPTIONS")]
    pub(crate) extra: Vec<String>,
}

impl Placement {
    /// Returns the program that starts the ranks.
    ///
    /// # Errors
    /// If there is no usable mpirun, or srun is asked for outside of an allocation or with hosts.
    pub(crate) fn starter(&self, via: Via) -> Result<Starter> {
        match via {
            Via::Mpirun => Starter::mpirun(self.programs.mpirun.as_deref()),
            Via::Srun if !in_allocation() => {
                Err(Usage("--via srun needs a Slurm allocation (sbatch, salloc)".into()).into())
            }
            Via::Srun if self.hosts.are_given() => {
                let problem = "--via srun takes its hosts from the allocation: leave --hosts out";
                Err(Usage(problem.into()).into())
            }
            Via::Srun => Ok(Starter::srun()),
        }
    }

    /// Builds the job: the requested number of ranks, or as many as fit, with the selected GPUs of this host unless `device`, the
    /// recipe's, is the CPU. The trainer gets no arguments yet; commands fill in theirs.
    ///
    /// # Errors
    /// If hosts, ranks, GPUs or the trainer are not as the options say.
    pub(crate) fn job(&self, starter: Starter, device: Device, selection: &GpuSelection) -> Result<Job> {
        let (hosts, in_allocation) = (self.hosts.read()?, in_allocation());
        let is_here = hosts.is_empty() && !in_allocation;
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let gpus = match is_here {
            true => gpus::choose(selection, device, gpus::present(), visible.as_deref())?,
            false => Vec::new(),
        };
        Ok(Job {
            starter,
            ranks: self.ranks(&hosts, gpus.len())?,
            hosts,
            in_allocation,
            gpus: gpus.len(),
            visible_gpus: match selection {
                GpuSelection::List(_) if is_here => Some(gpus.join(",")),
                GpuSelection::List(numbers) => Some(gpus::joined(numbers)),
                GpuSelection::All | GpuSelection::None => None,
            },
            interface: self.programs.interface.clone(),
            oversubscribe: false,
            as_root: rustix::process::geteuid().is_root(),
            forwarded: forwarded(),
            isolated: has_no_remote_shell(),
            blocked_signals: Vec::new(),
            extra: self.programs.extra.clone(),
            trainer: trainer_binary::find(self.programs.trainer.as_deref())?,
            arguments: Vec::new(),
        })
    }

    /// The number of ranks. Rejects 0, and more than `hosts` have slots.
    fn ranks(&self, hosts: &[Host], gpus: usize) -> Result<usize, Usage> {
        let slots: usize = hosts.iter().map(|host| host.slots).sum();
        let ranks = match self.ranks {
            Some(0) => return Err(Usage("-n 0: at least one rank is needed".into())),
            Some(ranks) => ranks,
            None if slots > 0 => slots,
            None => slurm_variable("SLURM_NTASKS").unwrap_or(gpus).max(1),
        };
        if slots > 0 && ranks > slots {
            let slots = counted(slots, "rank");
            return Err(Usage(format!("-n {ranks}, but the hosts take {slots}: give them more slots")));
        }
        Ok(ranks)
    }
}

/// Number of cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn in_allocation() -> bool {
    std::env::var_os("SLURM_JOB_ID").is_some()
}

/// The value of one of Slurm's variables, within an allocation.
pub(crate) fn slurm_variable(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().filter(|_| in_allocation())?.parse().ok()
}

/// Names of the set environment variables that ranks read, on whatever host they run.
fn forwarded() -> Vec<String> {
    let is_read = |name: &String| {
        ["REGATTA__", "NCCL_", "UCX_"].iter().any(|prefix| name.starts_with(prefix))
            || ["LD_LIBRARY_PATH", "RUST_LOG", "CUDA_VISIBLE_DEVICES"].contains(&name.as_str())
    };
    let mut names: Vec<_> =
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(is_read).collect();
    names.sort_unstable();
    names
}

/// Parses a number of ranks; 0 is rejected later, together with the hosts.
fn rank_count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "expected a number of ranks, such as 8".to_owned())
}
