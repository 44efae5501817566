//! Checks of shared memory, resource limits and clocks.

use regatta_settings::Device;

use super::super::facts::{HostFacts, JobFacts, Space};
use super::Severity::{CannotStart, Warning};
use super::{Finding, size};

/// Bytes needed in /dev/shm: a fixed part, and a part for each rank of the host. Holds NCCL's buffers between GPUs without
/// peer-to-peer access, MPI's between processes, and the ledgers. Docker's default of 64 MiB is known to be too small for NCCL.
const SHARED_MEMORY: (u64, u64) = (64 << 20, 32 << 20);
/// Bytes of each rank below which not even the ledgers and MPI's own files fit.
const SHARED_MEMORY_OF_A_RANK: u64 = 8 << 20;
/// Open files of a rank in addition to its connections.
const OPEN_FILES: u64 = 256;
/// Connections of MPI and NCCL between two ranks, several channels each.
const CONNECTIONS: u64 = 32;
/// Largest clock offset that is normal within a network, in seconds.
const CLOCKS_APART_S: f64 = 1.0;

/// Returns the findings on `host`.
pub(super) fn check(host: &HostFacts, job: &JobFacts) -> Vec<Finding> {
    let found = [shared_memory(host, job), open_files(host, job), locked_memory(host), clock(host)];
    found.into_iter().flatten().collect()
}

fn shared_memory(host: &HostFacts, job: &JobFacts) -> Option<Finding> {
    let ranks = job.ranks_per_host as u64;
    if ranks == 1 {
        return None;
    }
    let Some(Space { free_bytes, total_bytes }) = host.shared_memory else {
        let remedy = "mount it: ranks of a host communicate through it";
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
            "enlarge it: docker run --shm-size=8g (or --ipc=host), mount -o remount,size=8G /dev/shm";
        if fails { CannotStart } else { Warning }.of(found, remedy)
    })
}

fn open_files(host: &HostFacts, job: &JobFacts) -> Option<Finding> {
    let needed = OPEN_FILES + CONNECTIONS * job.ranks as u64;
    let soft = host.open_files.soft.filter(|soft| *soft < needed)?;
    let remedy = match host.open_files.hard {
        Some(hard) if hard < needed => {
            "raise nofile in /etc/security/limits.conf (for services: LimitNOFILE), and log in again"
                .to_owned()
        }
        hard => format!("raise the limit: ulimit -n {}", hard.unwrap_or(1 << 16).min(1 << 16)),
    };
    let found = format!("at most {soft} files may be open, but each rank needs about {needed}");
    Some(CannotStart.of(found, remedy))
}

/// InfiniBand registers the memory that it sends from, which locks it.
fn locked_memory(host: &HostFacts) -> Option<Finding> {
    let soft = host.locked_memory_bytes.soft.filter(|_| !host.infiniband.is_empty())?;
    let found = format!("this host has InfiniBand, but only {} of memory may be locked", size(soft));
    Some(Warning.of(found, "ulimit -l unlimited (memlock in /etc/security/limits.conf)"))
}

fn clock(host: &HostFacts) -> Option<Finding> {
    let apart = host.clock_apart_s;
    (apart.abs() > CLOCKS_APART_S).then(|| {
        let side = if apart > 0.0 { "ahead" } else { "behind" };
        let found = format!("its clock is at least {:.1} s {side}", apart.abs());
        Warning.of(found, "synchronize the hosts' clocks with chrony or ntpd: failure times are compared")
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
    fn small_shared_memory_is_reported() {
        let container = Space { total_bytes: 64 << 20, free_bytes: 63 << 20 };
        check_host(
            |host| host.shared_memory = Some(container),
            expect![
                "cannot start: node1: /dev/shm has 63.0 MiB free of 64.0 MiB, and 2 ranks need about 128.0 MiB: enlarge it: docker run --shm-size=8g (or --ipc=host), mount -o remount,size=8G /dev/shm"
            ],
        );
        check_host(
            |host| host.shared_memory = None,
            expect!["warning: node1: there is no /dev/shm: mount it: ranks of a host communicate through it"],
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
                "cannot start: node1: at most 128 files may be open, but each rank needs about 320: raise the limit: ulimit -n 4096"
            ],
        );
        check_host(
            |host| host.open_files = limit(128, None),
            expect![
                "cannot start: node1: at most 128 files may be open, but each rank needs about 320: raise the limit: ulimit -n 65536"
            ],
        );
        check_host(
            |host| host.open_files = limit(128, Some(128)),
            expect![
                "cannot start: node1: at most 128 files may be open, but each rank needs about 320: raise nofile in /etc/security/limits.conf (for services: LimitNOFILE), and log in again"
            ],
        );
        check_host(|host| host.open_files = Limit { soft: None, hard: None }, expect![""]);
        let many = found(testing::facts(), |facts| {
            facts.job.ranks = 64;
            facts.probe.as_mut().unwrap().world_size = 64;
            facts.hosts[0].open_files = limit(1024, Some(1 << 20));
        });
        assert!(many.contains("at most 1024 files may be open, but each rank needs about 2304"), "{many}");
    }

    #[test]
    fn locked_memory_matters_to_infiniband() {
        check_host(
            |host| host.infiniband = vec!["mlx5_0".into()],
            expect![
                "warning: node1: this host has InfiniBand, but only 8.0 MiB of memory may be locked: ulimit -l unlimited (memlock in /etc/security/limits.conf)"
            ],
        );
        let unlimited = |host: &mut HostFacts| {
            host.infiniband = vec!["mlx5_0".into()];
            host.locked_memory_bytes.soft = None;
        };
        check_host(unlimited, expect![""]);
    }

    #[test]
    fn clocks_ahead_and_behind_are_reported() {
        check_host(
            |host| host.clock_apart_s = -2.25,
            expect![
                "warning: node1: its clock is at least 2.2 s behind: synchronize the hosts' clocks with chrony or ntpd: failure times are compared"
            ],
        );
        check_host(|host| host.clock_apart_s = 0.9, expect![""]);
    }
}
