//! Reduces a job to the hosts and GPUs that remain after a failure.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::command_line::Job;
use super::hosts::Host;
use super::mpi::Kind;
use crate::failure::Usage;
use crate::timed;

/// Time for a host to answer.
const ANSWER: Duration = Duration::from_secs(20);

/// Returns the job on the hosts that still answer, or on the `gpus` that this host still has.
///
/// # Errors
/// If fewer than `min_ranks` ranks fit.
pub(crate) fn shrink(job: &Job, gpus: usize, min_ranks: usize) -> Result<Job, Usage> {
    let mut smaller = job.clone();
    if job.gpus > 0 {
        smaller.ranks = job.ranks.min(gpus);
    } else if !job.hosts.is_empty() {
        smaller.hosts.retain(|host| answers(job, host));
        let slots = smaller.hosts.iter().map(|host| host.slots).sum();
        smaller.ranks = job.ranks.min(slots);
    }
    if smaller.ranks < min_ranks {
        return Err(Usage(format!(
            "the remaining hosts and GPUs have room for {} ranks, and --min-ranks is {min_ranks}",
            smaller.ranks
        )));
    }
    Ok(smaller)
}

/// Whether the starter can start a process on the host.
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

#[cfg(test)]
mod tests {
    use super::super::command_line::tests::job;
    use super::*;

    #[test]
    fn the_world_shrinks_to_the_remaining_gpus() {
        let with_gpus = |gpus| Job { gpus, ..job(Kind::OpenMpi4) };
        let ranks =
            |job: &Job, left| shrink(job, left, 2).map(|job| job.ranks).map_err(|why| why.to_string());
        assert_eq!(ranks(&with_gpus(4), 3), Ok(3));
        assert_eq!(ranks(&with_gpus(8), 8), Ok(4));
        assert_eq!(ranks(&with_gpus(0), 0), Ok(4), "on CPUs");
        assert_eq!(
            ranks(&with_gpus(4), 1),
            Err("the remaining hosts and GPUs have room for 1 ranks, and --min-ranks is 2".into())
        );
    }
}
