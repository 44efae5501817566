//! Shared memory, limits of the process, and clocks.

use regatta_settings::Device;

use super::super::facts::{HostFacts, Job, Space};
use super::Severity::{CannotStart, Warning};
use super::{Finding, size};

/// Of /dev/shm, for whatever the ranks of a host are, and for each of them: NCCL's buffers between GPUs that do not reach each
/// other directly, MPI's between processes, the ledgers. Docker's default of 64 MiB is known to be too little for NCCL.
const SHARED_MEMORY: (u64, u64) = (64 << 20, 32 << 20);
/// Without which not even the ledgers and MPI's own files fit.
const SHARED_MEMORY_OF_A_RANK: u64 = 8 << 20;
/// Open files of a rank, besides its connections to every other rank.
const OPEN_FILES: u64 = 256;
/// Connections between two ranks: MPI's and NCCL's, several channels each.
const CONNECTIONS: u64 = 32;
/// Clocks of one network are nearer to each other than that.
const CLOCKS_APART_S: f64 = 1.0;

/// What is found on `host`.
pub(super) fn check(host: &HostFacts, job: &Job) -> Vec<Finding> {
    let found = [shared_memory(host, job), open_files(host, job), locked_memory(host), clock(host)];
    found.into_iter().flatten().collect()
}

fn shared_memory(host: &HostFacts, job: &Job) -> Option<Finding> {
    let ranks = job.ranks_per_host as u64;
    if ranks == 1 {
        return None;
    }
    let Some(Space { free_bytes, total_bytes }) = host.shared_memory else {
        let remedy = "mount it: ranks of a host reach each other through it";
        return Some(Warning.of("there is no /dev/shm", remedy));
    };
    let (base, each) = SHARED_MEMORY;
    let needed = base + each * ranks;
    let on_gpus = job.device != Device::Cpu && !host.nvidia.gpus.is_empty();
    let fails = on_gpus || free_bytes < SHARED_MEMORY_OF_A_RANK * ranks;
    (free_bytes < needed).then(|| {
        let [free, total, needed] = [free_bytes, total_bytes, needed].map(size);
        let found = format!("/dev/shm has {free} free of {total}, and {ranks} ranks need about {needed}");
        let remedy =
            "a larger one: docker run --shm-size=8g (or --ipc=host), mount -o remount,size=8G /dev/shm";
        if fails { CannotStart } else { Warning }.of(found, remedy)
    })
}

fn open_files(host: &HostFacts, job: &Job) -> Option<Finding> {
    let needed = OPEN_FILES + CONNECTIONS * job.ranks as u64;
    let soft = host.open_files.soft.filter(|soft| *soft < needed)?;
    let remedy = match host.open_files.hard {
        Some(hard) if hard < needed => {
            "raise nofile in /etc/security/limits.conf (for services: LimitNOFILE), and log in again"
                .to_owned()
        }
        hard => format!("raise the limit: ulimit -n {}", hard.unwrap_or(1 << 16).min(1 << 16)),
    };
    let found = format!("at most {soft} files may be open, and a rank of these needs about {needed}");
    Some(CannotStart.of(found, remedy))
}

/// InfiniBand registers the memory that it sends from, and that is locked.
fn locked_memory(host: &HostFacts) -> Option<Finding> {
    let soft = host.locked_memory_bytes.soft.filter(|_| !host.infiniband.is_empty())?;
    let found = format!("InfiniBand is there, but only {} may be locked", size(soft));
    Some(Warning.of(found, "ulimit -l unlimited (memlock in /etc/security/limits.conf)"))
}

fn clock(host: &HostFacts) -> Option<Finding> {
    let apart = host.clock_apart_s;
    (apart.abs() > CLOCKS_APART_S).then(|| {
        let side = if apart > 0.0 { "ahead" } else { "behind" };
        let found = format!("its clock is at least {:.1} s {side}", apart.abs());
        Warning.of(found, "let chrony or ntpd set the hosts' clocks: times of failures are compared")
    })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::super::facts::Limit;
    use super::super::super::testing;
    use super::super::tests::found;
    use super::*;

    fn check_host(change: impl FnOnce(&mut HostFacts), expected: Expect) {
        expected.assert_eq(&found(testing::facts_with_gpus(), |facts| change(&mut facts.hosts[0])));
    }

    #[test]
    fn the_shared_memory_of_a_container_is_too_small() {
        let container = Space { total_bytes: 64 << 20, free_bytes: 63 << 20 };
        check_host(
            |host| host.shared_memory = Some(container),
            expect![
                "cannot start: node1: /dev/shm has 63.0 MiB free of 64.0 MiB, and 2 ranks need about 128.0 MiB: a larger one: docker run --shm-size=8g (or --ipc=host), mount -o remount,size=8G /dev/shm"
            ],
        );
        check_host(
            |host| host.shared_memory = None,
            expect![
                "warning: node1: there is no /dev/shm: mount it: ranks of a host reach each other through it"
            ],
        );
        // On CPUs that is a risk; full, it is an end. One rank has nobody to share with.
        let on_cpus = |free_bytes, ranks_per_host| {
            found(testing::facts(), |facts| {
                facts.job.device = Device::Cpu;
                facts.job.ranks_per_host = ranks_per_host;
                facts.hosts[0].shared_memory = Some(Space { free_bytes, ..container });
            })
        };
        assert!(on_cpus(63 << 20, 2).starts_with("warning: node1: /dev/shm has 63.0 MiB free"));
        assert!(on_cpus(1 << 20, 2).starts_with("cannot start: node1: /dev/shm has 1.0 MiB free"));
        assert_eq!(on_cpus(1 << 20, 1), "");
    }

    #[test]
    fn few_open_files_are_a_limit_that_can_be_raised_or_not() {
        let limit = |soft, hard| Limit { soft: Some(soft), hard };
        check_host(
            |host| host.open_files = limit(128, Some(4096)),
            expect![
                "cannot start: node1: at most 128 files may be open, and a rank of these needs about 320: raise the limit: ulimit -n 4096"
            ],
        );
        check_host(
            |host| host.open_files = limit(128, None),
            expect![
                "cannot start: node1: at most 128 files may be open, and a rank of these needs about 320: raise the limit: ulimit -n 65536"
            ],
        );
        check_host(
            |host| host.open_files = limit(128, Some(128)),
            expect![
                "cannot start: node1: at most 128 files may be open, and a rank of these needs about 320: raise nofile in /etc/security/limits.conf (for services: LimitNOFILE), and log in again"
            ],
        );
        check_host(|host| host.open_files = Limit { soft: None, hard: None }, expect![""]);
        let many = found(testing::facts(), |facts| {
            facts.job.ranks = 64;
            facts.probe.as_mut().unwrap().world_size = 64;
            facts.hosts[0].open_files = limit(1024, Some(1 << 20));
        });
        assert!(
            many.contains("at most 1024 files may be open, and a rank of these needs about 2304"),
            "{many}"
        );
    }

    #[test]
    fn locked_memory_matters_to_infiniband() {
        check_host(
            |host| host.infiniband = vec!["mlx5_0".into()],
            expect![
                "warning: node1: InfiniBand is there, but only 8.0 MiB may be locked: ulimit -l unlimited (memlock in /etc/security/limits.conf)"
            ],
        );
        let unlimited = |host: &mut HostFacts| {
            host.infiniband = vec!["mlx5_0".into()];
            host.locked_memory_bytes.soft = None;
        };
        check_host(unlimited, expect![""]);
    }

    #[test]
    fn clocks_may_be_apart_either_way() {
        check_host(
            |host| host.clock_apart_s = -2.25,
            expect![
                "warning: node1: its clock is at least 2.2 s behind: let chrony or ntpd set the hosts' clocks: times of failures are compared"
            ],
        );
        check_host(|host| host.clock_apart_s = 0.9, expect![""]);
    }
}
