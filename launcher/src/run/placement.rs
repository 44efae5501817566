//! Where ranks are started and with what: the options that every command has that starts some, and the one place where they
//! become a [`Job`].

use std::path::PathBuf;

use anyhow::Result;
use regatta_run_folder::counted;
use regatta_settings::Device;

use super::command_line::Job;
use super::gpus::{self, Wanted};
use super::hosts::{self, Host};
use super::mpi::{Starter, Via, has_no_remote_shell};
use crate::failure::Usage;
use crate::trainer_binary;

/// Ranks, hosts, programs and network.
#[derive(Debug, clap::Args)]
pub(crate) struct Placement {
    /// Number of ranks [default: one a GPU, or a slot of the hosts, or a task of the allocation; else 1]
    #[arg(short = 'n', long, value_name = "N", value_parser = rank_count)]
    ranks: Option<usize>,
    /// Hosts and how many ranks each takes, such as a:8,b:8
    #[arg(long, value_name = "HOST:N,…", conflicts_with = "hostfile")]
    hosts: Option<String>,
    /// A file of such hosts, a line each
    #[arg(long, value_name = "FILE")]
    hostfile: Option<PathBuf>,
    /// The mpirun to use [default: MPIRUN, or the one on the path]
    #[arg(long, value_name = "FILE")]
    mpirun: Option<PathBuf>,
    /// The trainer to start [default: TRAINER, or the one beside the launcher, or on the path]
    #[arg(long, value_name = "FILE")]
    trainer: Option<PathBuf>,
    /// The network interface for MPI and NCCL between hosts
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Options for mpirun or srun
    #[arg(last = true, value_name = "OPTIONS")]
    extra: Vec<String>,
}

impl Placement {
    /// What starts the ranks here.
    pub(crate) fn starter(&self, via: Via) -> Result<Starter> {
        match via {
            Via::Mpirun => Starter::mpirun(self.mpirun.as_deref()),
            Via::Srun if !in_allocation() => {
                Err(Usage("--via srun is for inside of a Slurm allocation (sbatch, salloc)".into()).into())
            }
            Via::Srun if self.hosts.is_some() || self.hostfile.is_some() => {
                let problem = "--via srun takes its hosts from the allocation: leave --hosts out";
                Err(Usage(problem.into()).into())
            }
            Via::Srun => Ok(Starter::srun()),
        }
    }

    /// The job of as many ranks as are asked for, or fit, with those of this host's GPUs that are wanted if `device`, the recipe's,
    /// is not the CPU. What is run is the trainer without arguments; commands fill in theirs.
    pub(crate) fn job(&self, starter: Starter, device: Device, wanted: &Wanted) -> Result<Job> {
        let (hosts, in_allocation) = (self.hosts()?, in_allocation());
        let is_here = hosts.is_empty() && !in_allocation;
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let gpus = match is_here {
            true => gpus::choose(wanted, device, gpus::present(), visible.as_deref())?,
            false => Vec::new(),
        };
        Ok(Job {
            starter,
            ranks: self.ranks(&hosts, gpus.len())?,
            hosts,
            in_allocation,
            gpus: gpus.len(),
            visible_gpus: match wanted {
                Wanted::List(_) if is_here => Some(gpus.join(",")),
                Wanted::List(numbers) => Some(gpus::joined(numbers)),
                Wanted::All | Wanted::None => None,
            },
            interface: self.interface.clone(),
            oversubscribe: false,
            as_root: rustix::process::geteuid().is_root(),
            forwarded: forwarded(),
            isolated: has_no_remote_shell(),
            held_signals: Vec::new(),
            extra: self.extra.clone(),
            trainer: trainer_binary::find(self.trainer.as_deref())?,
            arguments: Vec::new(),
        })
    }

    /// Those that were named; none is this one, or what Slurm allocated.
    fn hosts(&self) -> Result<Vec<Host>> {
        match (&self.hosts, &self.hostfile) {
            (Some(list), _) => Ok(hosts::parse_list(list)?),
            (None, Some(file)) => hosts::read_file(file),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// Refuses more ranks than named `hosts` take, and none at all.
    fn ranks(&self, hosts: &[Host], gpus: usize) -> Result<usize, Usage> {
        let slots: usize = hosts.iter().map(|host| host.slots).sum();
        let ranks = match self.ranks {
            Some(0) => return Err(Usage("-n 0: at least one rank is needed".into())),
            Some(ranks) => ranks,
            None if slots > 0 => slots,
            None => of_allocation("SLURM_NTASKS").unwrap_or(gpus).max(1),
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

/// A number that Slurm tells inside of an allocation.
pub(crate) fn of_allocation(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().filter(|_| in_allocation())?.parse().ok()
}

/// Names of the variables that ranks read, wherever they are.
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

/// A number of ranks as it is typed; that there is at least one is checked with the hosts.
fn rank_count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "expected a number of ranks, such as 8".to_owned())
}
