//! The launcher's environment variables and this rank's share of the processor cores. The only file that reads environment
//! variables about ranks.

use std::mem::size_of;
use std::path::Path;

/// How this process was started, according to its environment variables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Launch {
    /// Number of ranks that the launcher started, and the variable that gives it.
    pub world_size: Option<(&'static str, usize)>,
    /// Rank of this process before MPI is initialized. Decides only which process writes to the terminal.
    pub rank: usize,
    /// Whether Open MPI's mpirun, which binds ranks to cores, started this process.
    pub by_open_mpi: bool,
    /// Number of ranks started by torchrun, or by another launcher that sets `RANK` and `WORLD_SIZE` without using MPI.
    pub torchrun_ranks: Option<usize>,
    /// Number of tasks in the Slurm job step (1 outside of Slurm).
    pub slurm_tasks: usize,
    /// Whether there is a process management interface (PMIx or the older PMI) through which MPI finds its peers.
    pub has_pmi: bool,
    /// Whether that interface is PMIx, which Open MPI needs.
    pub has_pmix: bool,
    /// ID of the Slurm job, if there is one.
    pub slurm_job: Option<String>,
    /// End of the Slurm job's time limit in seconds of Unix time; only newer versions of Slurm give it.
    pub slurm_job_end: Option<u64>,
}

const WORLD_SIZE: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];
const RANK: [&str; 4] = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"];

impl Launch {
    /// Reads the environment of this process.
    pub fn from_environment() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name: &str| get(name).and_then(|value| value.parse().ok());
        Self {
            world_size: WORLD_SIZE
                .into_iter()
                .filter_map(|name| Some((name, number(name)?)))
                .max_by_key(|&(_, size): &(_, usize)| size),
            rank: RANK.into_iter().find_map(number).unwrap_or(0),
            by_open_mpi: get("OMPI_COMM_WORLD_SIZE").is_some(),
            torchrun_ranks: get("RANK").and_then(|_| number("WORLD_SIZE")),
            slurm_tasks: number("SLURM_STEP_NUM_TASKS").unwrap_or(1),
            has_pmix: get("PMIX_RANK").is_some(),
            slurm_job: get("SLURM_JOB_ID"),
            slurm_job_end: get("SLURM_JOB_END_TIME").and_then(|end| end.parse().ok()),
            has_pmi: ["OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"].iter().any(|n| get(n).is_some()),
        }
    }

    /// Returns the number of ranks if they were started without MPI, so that they cannot find each other.
    pub(crate) fn ranks_without_mpi(&self) -> Option<usize> {
        self.torchrun_ranks.filter(|&ranks| ranks > 1 && !self.is_parallel() && !self.has_pmi)
    }

    /// Returns whether a launcher started more than one rank.
    pub(crate) fn is_parallel(&self) -> bool {
        self.world_size.is_some_and(|(_, size)| size > 1)
    }
}

/// One rank's share of the cores of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuShare {
    /// Core numbers, ascending; never empty.
    pub cores: Vec<usize>,
}

impl CpuShare {
    /// Returns the share of `local_rank` when `local_size` ranks divide the physical cores evenly, each core with all its
    /// hardware threads. If there are more ranks than cores, they divide the hardware threads; if there are more ranks than
    /// threads, threads are assigned round-robin.
    fn of(physical: &[Vec<usize>], local_rank: usize, local_size: usize) -> Self {
        let divide = |count: usize| count * local_rank / local_size..count * (local_rank + 1) / local_size;
        let threads = physical.concat();
        let mut cores = if physical.len() >= local_size {
            physical[divide(physical.len())].concat()
        } else if threads.len() >= local_size {
            threads[divide(threads.len())].to_vec()
        } else {
            vec![threads[local_rank % threads.len()]]
        };
        cores.sort_unstable();
        Self { cores }
    }
}

/// The folder in sysfs that describes the cores.
const SYSFS_CPU: &str = "/sys/devices/system/cpu";

/// Groups the hardware threads `cores` by physical core, in the order of the first thread of each.
fn by_physical_core(cores: &[usize], sysfs: &Path) -> Vec<Vec<usize>> {
    let siblings = |core: usize| {
        let list = sysfs.join(format!("cpu{core}/topology/thread_siblings_list"));
        std::fs::read_to_string(list).map_or_else(|_| vec![core], |list| core_numbers(&list))
    };
    let mut physical: Vec<Vec<usize>> = Vec::new();
    for &core in cores {
        let siblings = siblings(core);
        match physical.iter_mut().find(|group| siblings.contains(&group[0])) {
            Some(group) => group.push(core),
            None => physical.push(vec![core]),
        }
    }
    physical
}

/// Parses a list of cores in the kernel's format, such as `0-2,8`.
pub fn core_numbers(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

/// Determines this rank's share of the host's cores, which `local_size` ranks divide. If the process may run on any of the
/// cores in `near` (those near its GPU), only these are divided, and the process is bound to its share of them. Otherwise the
/// affinity mask is only ever widened to the share: mpirun binds each rank of `-n 1` and `-n 2` to a single core.
/// Call it before libtorch starts its threads.
pub fn cpu_share(launch: &Launch, local_rank: usize, local_size: usize, near: &[usize]) -> CpuShare {
    let own = affinity(0);
    if launch.has_pmi && !launch.by_open_mpi {
        return CpuShare { cores: own }; // srun gives each task its own mask
    }
    // mpirun itself has the mask of the whole allocation.
    let pid = if launch.by_open_mpi { std::os::unix::process::parent_id() as i32 } else { 0 };
    let (allocation, is_near) = nearest(affinity(pid), near);
    let share = CpuShare::of(&by_physical_core(&allocation, Path::new(SYSFS_CPU)), local_rank, local_size);
    if own.len() < share.cores.len() || is_near {
        set_affinity(&share.cores);
    }
    share
}

/// Returns the cores that are also in `near` and true, or all cores and false if there are none.
fn nearest(cores: Vec<usize>, near: &[usize]) -> (Vec<usize>, bool) {
    let chosen: Vec<usize> = cores.iter().copied().filter(|core| near.contains(core)).collect();
    if chosen.is_empty() { (cores, false) } else { (chosen, true) }
}

/// Returns the cores that process `pid` (0: this thread) may run on, at least one.
fn affinity(pid: i32) -> Vec<usize> {
    // SAFETY: cpu_set_t is plain bits, valid when zero; the kernel writes at most its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(pid, size_of::<libc::cpu_set_t>(), &mut set);
        set
    };
    let cores: Vec<usize> = (0..libc::CPU_SETSIZE as usize)
        // SAFETY: reads one bit within CPU_SETSIZE.
        .filter(|&core| unsafe { libc::CPU_ISSET(core, &set) })
        .collect();
    if cores.is_empty() { vec![0] } else { cores }
}

/// Binds this thread, and the threads that it starts, to `cores`. If the kernel refuses, the mask does not change.
fn set_affinity(cores: &[usize]) {
    // SAFETY: cpu_set_t is plain bits, valid when zero, borrowed for the call; core numbers came from such a set.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for &core in cores {
            libc::CPU_SET(core, &mut set);
        }
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(variables: &[(&str, &str)]) -> Launch {
        Launch::read(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string()))
    }

    #[test]
    fn launchers_are_distinguished() {
        assert!(!launch(&[]).is_parallel());
        let mpirun = launch(&[("OMPI_COMM_WORLD_SIZE", "4"), ("OMPI_COMM_WORLD_RANK", "3")]);
        assert_eq!((mpirun.world_size, mpirun.rank), (Some(("OMPI_COMM_WORLD_SIZE", 4)), 3));
        assert!(mpirun.by_open_mpi && mpirun.has_pmi);
        let srun = launch(&[("SLURM_STEP_NUM_TASKS", "8"), ("SLURM_PROCID", "5")]);
        assert!(srun.is_parallel() && !srun.has_pmi);
        assert_eq!((srun.slurm_tasks, srun.rank), (8, 5));
        assert!(launch(&[("SLURM_STEP_NUM_TASKS", "8"), ("PMIX_RANK", "5")]).has_pmi);
        // Under mpirun inside an allocation every rank sees SLURM_PROCID=0 and the number of daemons.
        let inside = launch(&[
            ("SLURM_STEP_NUM_TASKS", "2"),
            ("SLURM_PROCID", "0"),
            ("OMPI_COMM_WORLD_SIZE", "16"),
            ("OMPI_COMM_WORLD_RANK", "9"),
        ]);
        assert_eq!((inside.world_size, inside.rank), (Some(("OMPI_COMM_WORLD_SIZE", 16)), 9));
        assert_eq!(launch(&[("OMPI_COMM_WORLD_SIZE", "many")]).world_size, None);
    }

    #[test]
    fn ranks_of_torchrun_are_detected_as_ranks_without_mpi() {
        let torchrun = [("RANK", "1"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "1")];
        let ranks = |more: &[(&str, &str)]| launch(&[&torchrun, more].concat()).ranks_without_mpi();
        assert_eq!(ranks(&[]), Some(4));
        assert_eq!(ranks(&[("SLURM_STEP_NUM_TASKS", "1")]), Some(4), "torchrun under srun, once a node");
        assert_eq!(ranks(&[("OMPI_COMM_WORLD_SIZE", "1")]), None, "mpirun knows better");
        assert_eq!(ranks(&[("PMI_SIZE", "4"), ("PMI_RANK", "1")]), None);
        assert_eq!(launch(&[("RANK", "0"), ("WORLD_SIZE", "1")]).ranks_without_mpi(), None);
        assert_eq!(launch(&[("WORLD_SIZE", "4")]).ranks_without_mpi(), None);
    }

    #[test]
    fn all_cores_are_divided_in_order() {
        let share = |cores: &[usize], rank, size| {
            let physical: Vec<_> = cores.iter().map(|&core| vec![core]).collect();
            CpuShare::of(&physical, rank, size).cores
        };
        assert_eq!(share(&[0, 1], 0, 1), [0, 1]);
        assert_eq!(share(&[0, 1], 1, 2), [1]);
        assert_eq!(share(&[2, 3, 6, 7, 9], 0, 2), [2, 3]);
        assert_eq!(share(&[2, 3, 6, 7, 9], 1, 2), [6, 7, 9]);
        assert_eq!(share(&[4, 5], 2, 3), [4]);
    }

    /// Four cores of two threads each, numbered as on most machines.
    #[test]
    fn no_two_ranks_share_a_physical_core_while_there_are_enough() {
        let sysfs = tempfile::tempdir().unwrap();
        for core in 0..8 {
            let topology = sysfs.path().join(format!("cpu{core}/topology"));
            std::fs::create_dir_all(&topology).unwrap();
            let siblings = format!("{},{}\n", core % 4, core % 4 + 4);
            std::fs::write(topology.join("thread_siblings_list"), siblings).unwrap();
        }
        let physical = |cores: &[usize]| by_physical_core(cores, sysfs.path());
        let all = physical(&[0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(all, [[0, 4], [1, 5], [2, 6], [3, 7]]);
        let shares = |physical: &[Vec<usize>], size| -> Vec<_> {
            (0..size).map(|rank| CpuShare::of(physical, rank, size).cores).collect()
        };
        assert_eq!(shares(&all, 2), [[0, 1, 4, 5], [2, 3, 6, 7]]);
        assert_eq!(shares(&all, 4), [[0, 4], [1, 5], [2, 6], [3, 7]]);
        assert_eq!(shares(&all, 8), [[0], [4], [1], [5], [2], [6], [3], [7]]);
        // The cores near one GPU.
        assert_eq!(shares(&physical(&[2, 3, 6, 7]), 2), [[2, 6], [3, 7]]);
        // Sysfs does not describe these cores.
        assert_eq!(physical(&[8, 9]), [[8], [9]]);
    }

    #[test]
    fn cores_near_the_gpu_are_preferred_if_the_process_may_use_them() {
        assert_eq!(nearest(vec![0, 1, 2, 3], &[2, 3, 4]), (vec![2, 3], true));
        assert_eq!(nearest(vec![0, 1], &[8, 9]), (vec![0, 1], false));
        assert_eq!(nearest(vec![0, 1], &[]), (vec![0, 1], false));
    }
}
