//! What is left of the hosts and GPUs after a failure.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::command_line::Job;
use super::gpus;
use super::hosts::Host;
use super::mpi::Kind;
use crate::failure::Usage;
use crate::timed;

/// What a host is given to answer.
const ANSWER: Duration = Duration::from_secs(20);

/// The job on those of its hosts and GPUs that are there, with at least `min_ranks` ranks.
pub(crate) fn shrink(job: &Job, min_ranks: usize) -> Result<Job, Usage> {
    let mut smaller = job.clone();
    if job.hosts.is_empty() {
        let (gone, left) = (gpus_gone(job), gpus::present());
        smaller.ranks = if gone { job.ranks.min(left) } else { job.ranks };
    } else {
        smaller.hosts.retain(|host| answers(job, host));
        let slots = smaller.hosts.iter().map(|host| host.slots).sum();
        smaller.ranks = job.ranks.min(slots);
    }
    if smaller.ranks < min_ranks {
        return Err(Usage(format!(
            "what is left has room for {} ranks, and --min-ranks is {min_ranks}",
            smaller.ranks
        )));
    }
    Ok(smaller)
}

/// Ranks on this host that had a GPU each, of which fewer are there now.
fn gpus_gone(job: &Job) -> bool {
    let on_cpus = job.arguments.iter().any(|argument| argument == "train.device=\"cpu\"");
    !on_cpus
        && !job.in_allocation
        && std::path::Path::new("/dev/nvidiactl").exists()
        && gpus::present() < job.ranks
}

/// Whether the starter can start anything there.
fn answers(job: &Job, host: &Host) -> bool {
    let option = if job.starter.kind == Kind::Mpich { "-hosts" } else { "--host" };
    let mut command = Command::new(&job.starter.program);
    command.args(["-n", "1", option, &host.name]);
    if job.as_root && job.starter.kind != Kind::Mpich {
        command.arg("--allow-run-as-root");
    }
    command.args(&job.extra).arg("true");
    timed::run(&mut command, ANSWER).is_ok_and(|ended| ended.code == Some(0))
}
