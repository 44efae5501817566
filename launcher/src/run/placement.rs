//! Where ranks are started and with what: the options that every command has that starts some.

use std::path::PathBuf;

use anyhow::Result;
use regatta_run_folder::counted;

use super::hosts::{self, Host};
use super::mpi::Starter;
use crate::failure::Usage;
use crate::trainer_binary;

/// Hosts, programs and network.
#[derive(Debug, clap::Args)]
pub(crate) struct Placement {
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
    pub(crate) interface: Option<String>,
}

impl Placement {
    /// Those that were named; none is this one, or what Slurm allocated.
    pub(crate) fn hosts(&self) -> Result<Vec<Host>> {
        match (&self.hosts, &self.hostfile) {
            (Some(list), _) => Ok(hosts::parse_list(list)?),
            (None, Some(file)) => hosts::read_file(file),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// The mpirun.
    pub(crate) fn mpirun(&self) -> Result<Starter> {
        Starter::mpirun(self.mpirun.as_deref())
    }

    /// The trainer's binary.
    pub(crate) fn trainer(&self) -> Result<PathBuf> {
        Ok(trainer_binary::find(self.trainer.as_deref())?)
    }
}

/// Refuses more ranks than named `hosts` take, and none at all.
pub(crate) fn check_ranks(ranks: usize, hosts: &[Host]) -> Result<(), Usage> {
    let slots: usize = hosts.iter().map(|host| host.slots).sum();
    if ranks == 0 {
        return Err(Usage("-n 0: at least one rank is needed".into()));
    }
    if slots > 0 && ranks > slots {
        let slots = counted(slots, "rank");
        return Err(Usage(format!("-n {ranks}, but the hosts take {slots}: give them more slots")));
    }
    Ok(())
}

/// A number of ranks as it is typed; that there is at least one is checked with the hosts.
pub(crate) fn rank_count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "expected a number of ranks, such as 8".to_owned())
}
