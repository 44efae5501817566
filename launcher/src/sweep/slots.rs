//! Places for runs: groups of this host's cores or GPUs, or other hosts, each for one run at a time.

use anyhow::{Context, Result};
use regatta_run_folder::counted;
use regatta_settings::Device;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::failure::Usage;
use crate::run::gpus::{self, GpuSelection};
use crate::run::hosts::{Host, HostOptions};
use crate::run::placement::slurm_variable;

/// Options for where runs are started.
#[derive(Debug, clap::Args)]
pub(crate) struct SlotOptions {
    /// Number of runs at once [default: the sweep file's, or the GPUs or cores divided by the ranks of a run]
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<usize>,
    /// GPUs to divide among runs: all, none (ranks compute on CPUs), or numbers such as 0,1,3
    #[arg(long, value_name = "all|none|LIST", default_value = "all")]
    gpus: GpuSelection,
    #[command(flatten)]
    hosts: HostOptions,
}

/// A place for one run at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Cores of this host.
    Cores(Vec<usize>),
    /// GPUs of this host, by number.
    Gpus(Vec<usize>),
    /// Another host.
    Host(String),
}

impl SlotOptions {
    /// Returns the places for runs of `ranks` ranks on `device`, the recipe's; `of_file` is the number in the sweep file.
    ///
    /// # Errors
    /// If hosts or GPUs are not as the options say, or have no room for a single run.
    pub(crate) fn slots(&self, ranks: usize, device: Device, of_file: Option<usize>) -> Result<Vec<Slot>> {
        let wanted = self.slots.or(of_file);
        if wanted == Some(0) {
            return Err(Usage("--slots 0: at least one run at a time is needed".into()).into());
        }
        let hosts = self.hosts.read()?;
        if !hosts.is_empty() {
            return Ok(on_hosts(&hosts, ranks, wanted)?);
        }
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let gpus = gpus::choose(&self.gpus, device, gpus::present(), visible.as_deref())?;
        if gpus.is_empty() {
            return Ok(on_cores(&cores()?, ranks, wanted));
        }
        let numbers = match &self.gpus {
            GpuSelection::List(numbers) => numbers.clone(),
            GpuSelection::All | GpuSelection::None => (0..gpus.len()).collect(),
        };
        Ok(on_gpus(&numbers, ranks, wanted)?)
    }
}

/// Divides cores among runs: consecutive ones, as many for each, and shared only if there are fewer than runs.
fn on_cores(cores: &[usize], ranks: usize, wanted: Option<usize>) -> Vec<Slot> {
    let slots = wanted.unwrap_or((cores.len() / ranks).max(1));
    let share = |slot: usize| match cores.len() >= slots {
        true => cores[cores.len() * slot / slots..cores.len() * (slot + 1) / slots].to_vec(),
        false => vec![cores[slot % cores.len()]],
    };
    (0..slots).map(|slot| Slot::Cores(share(slot))).collect()
}

fn on_gpus(numbers: &[usize], ranks: usize, wanted: Option<usize>) -> Result<Vec<Slot>, Usage> {
    let room = numbers.len() / ranks;
    if room == 0 {
        let gpus = counted(numbers.len(), "GPU");
        return Err(Usage(format!(
            "start.ranks = {ranks}, but {gpus} to use: set fewer ranks, or pass --gpus none"
        )));
    }
    let slots = wanted.unwrap_or(room);
    if slots > room {
        return Err(Usage(format!(
            "{slots} slots of {} need {} GPUs, but there are {}: use at most {room} slots",
            counted(ranks, "rank"),
            slots * ranks,
            numbers.len()
        )));
    }
    Ok(numbers.chunks(ranks).take(slots).map(|numbers| Slot::Gpus(numbers.to_vec())).collect())
}

fn on_hosts(hosts: &[Host], ranks: usize, wanted: Option<usize>) -> Result<Vec<Slot>, Usage> {
    let of_host =
        |host: &Host| (0..host.slots / ranks).map(|_| Slot::Host(host.name.clone())).collect::<Vec<_>>();
    let mut slots: Vec<Slot> = hosts.iter().flat_map(of_host).collect();
    if slots.is_empty() {
        return Err(Usage(format!("no host has room for the {} of a run", counted(ranks, "rank"))));
    }
    slots.truncate(wanted.unwrap_or(slots.len()));
    Ok(slots)
}

/// Returns the cores that this process may use.
fn cores() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("cannot read which cores this process may use")?;
    let cores: Vec<_> = (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect();
    let task = slurm_variable("SLURM_ARRAY_TASK_ID").unwrap_or(0);
    Ok(match slurm_variable("SLURM_CPUS_ON_NODE") {
        Some(count) => share_of_job(&cores, count, task),
        None => cores,
    })
}

/// Returns the cores of a Slurm job that has `count` of them. If Slurm does not bind jobs to their cores, the tasks of an array take
/// turns, so that those on one node do not all choose the same cores.
fn share_of_job(cores: &[usize], count: usize, task: usize) -> Vec<usize> {
    let count = count.clamp(1, cores.len());
    let mut share: Vec<_> =
        cores.iter().copied().cycle().skip(task * count % cores.len()).take(count).collect();
    share.sort_unstable();
    share
}

impl Slot {
    /// Whether it is on this host.
    pub(crate) fn is_here(&self) -> bool {
        !matches!(self, Self::Host(_))
    }

    /// Returns the options of `launcher run` for a run of `ranks` ranks at this place.
    pub(crate) fn options(&self, ranks: usize) -> Vec<String> {
        let with_ranks = |rest: Vec<String>| [vec!["-n".to_owned(), ranks.to_string()], rest].concat();
        match self {
            Self::Cores(cores) => {
                let more = (ranks > cores.len()).then(|| "--oversubscribe".to_owned());
                with_ranks(["--gpus".to_owned(), "none".to_owned()].into_iter().chain(more).collect())
            }
            Self::Gpus(numbers) => with_ranks(vec!["--gpus".to_owned(), gpus::joined(numbers)]),
            Self::Host(host) => with_ranks(vec!["--hosts".to_owned(), format!("{host}:{ranks}")]),
        }
    }

    /// Calls `start` while this thread may only use the place's cores, which the processes that it starts inherit.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn bound<T>(&self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        let Self::Cores(cores) = self else { return start() };
        let own = sched_getaffinity(None).context("cannot read which cores this process may use")?;
        let mut set = CpuSet::new();
        cores.iter().for_each(|&core| set.set(core));
        sched_setaffinity(None, &set).context("cannot bind a run to its cores")?;
        let started = start();
        sched_setaffinity(None, &own).context("cannot use all cores again")?;
        started
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_divided_among_runs() {
        let cores = |slots: &[&[usize]]| slots.iter().map(|it| Slot::Cores(it.to_vec())).collect::<Vec<_>>();
        assert_eq!(on_cores(&[0, 1], 1, None), cores(&[&[0], &[1]]));
        assert_eq!(on_cores(&[0, 1, 4, 5, 6], 2, None), cores(&[&[0, 1], &[4, 5, 6]]));
        assert_eq!(on_cores(&[3], 2, None), cores(&[&[3]]), "more ranks than cores");
        assert_eq!(on_cores(&[3, 4], 1, Some(3)), cores(&[&[3], &[4], &[3]]), "more runs than cores");
        let crowded = Slot::Cores(vec![3]).options(2);
        assert_eq!(crowded.join(" "), "-n 2 --gpus none --oversubscribe");
    }

    #[test]
    fn jobs_of_an_array_that_are_not_bound_take_turns() {
        assert_eq!(share_of_job(&[0, 1, 2, 3], 4, 7), [0, 1, 2, 3], "bound, or the whole node");
        let shares = [1, 2, 3].map(|task| share_of_job(&[0, 1, 2, 3, 4], 2, task));
        assert_eq!(shares, [vec![2, 3], vec![0, 4], vec![1, 2]]);
        assert_eq!(share_of_job(&[5], 2, 1), [5], "fewer than Slurm says");
    }

    #[test]
    fn gpus_and_hosts_are_divided_among_runs() {
        let gpus = |slots: &[&[usize]]| slots.iter().map(|it| Slot::Gpus(it.to_vec())).collect::<Vec<_>>();
        assert_eq!(on_gpus(&[0, 2, 3, 5], 2, None).unwrap(), gpus(&[&[0, 2], &[3, 5]]));
        assert_eq!(on_gpus(&[0, 1, 2], 2, None).unwrap(), gpus(&[&[0, 1]]), "one GPU is left over");
        assert_eq!(
            on_gpus(&[0], 2, None).unwrap_err().0,
            "start.ranks = 2, but 1 GPU to use: set fewer ranks, or pass --gpus none"
        );
        assert_eq!(
            on_gpus(&[0, 1], 1, Some(3)).unwrap_err().0,
            "3 slots of 1 rank need 3 GPUs, but there are 2: use at most 2 slots"
        );
        let hosts = [Host { name: "a".into(), slots: 5 }, Host { name: "b".into(), slots: 1 }];
        let slots = on_hosts(&hosts, 2, None).unwrap();
        assert_eq!(slots, [Slot::Host("a".into()), Slot::Host("a".into())]);
        assert_eq!(slots[0].options(2).join(" "), "-n 2 --hosts a:2");
        assert_eq!(on_hosts(&hosts, 8, None).unwrap_err().0, "no host has room for the 8 ranks of a run");
    }
}
