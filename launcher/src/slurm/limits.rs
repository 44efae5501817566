//! Limits of a cluster's partitions, as reported by `sinfo`, and whether a job can ever start there.

use std::process::{Command, Stdio};

use super::time::TimeLimit;
use crate::failure::Usage;

/// Partition (a star after the default one), time limit, least and most nodes of a job, number of nodes, their GPUs.
const FORMAT: &str = "%P|%l|%s|%D|%G";

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    name: String,
    is_default: bool,
    max_time: Option<TimeLimit>,
    max_nodes: u32,
    nodes: Vec<Nodes>,
}

/// A group of identical nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Nodes {
    count: u32,
    gpus: u32,
}

/// Resources that a job requests.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) nodes: u32,
    pub(crate) gpus_per_node: u32,
    pub(crate) time: TimeLimit,
    /// Partitions separated by commas; None for the default one.
    pub(crate) partition: Option<String>,
}

/// Returns all partitions; None if no Slurm answers.
pub(crate) fn partitions() -> Option<Vec<Partition>> {
    let output =
        Command::new("sinfo").args(["--noheader", "--format", FORMAT]).stderr(Stdio::null()).output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// Parses one line per partition and kind of node. Numbers that cannot be parsed (`1.2K`, `infinite`) are no limits.
fn parse(text: &str) -> Vec<Partition> {
    let mut partitions: Vec<Partition> = Vec::new();
    for line in text.lines() {
        let fields: Vec<_> = line.split('|').map(str::trim).collect();
        let &[name, time, sizes, count, gres] = fields.as_slice() else { continue };
        let count = count.parse().unwrap_or(u32::MAX);
        let nodes = Nodes { count, gpus: gpus(gres) };
        let (name, is_default) = name.strip_suffix('*').map_or((name, false), |name| (name, true));
        match partitions.iter_mut().find(|partition| partition.name == name) {
            Some(partition) => partition.nodes.push(nodes),
            None => partitions.push(Partition {
                name: name.to_owned(),
                is_default,
                max_time: TimeLimit::of_sinfo(time),
                max_nodes: sizes.rsplit('-').next().and_then(|most| most.parse().ok()).unwrap_or(u32::MAX),
                nodes: vec![nodes],
            }),
        }
    }
    partitions
}

/// Counts the GPUs in a node's generic resources, such as `gpu:a100:4(S:0-1),nic:2`.
fn gpus(gres: &str) -> u32 {
    let mut depth = 0;
    let outside = gres.chars().filter(|&c| {
        depth += i32::from(c == '(');
        let is_outside = depth == 0;
        depth -= i32::from(c == ')');
        is_outside
    });
    let outside: String = outside.collect();
    let count = |entry: &str| entry.rsplit(':').next().and_then(|count| count.parse().ok()).unwrap_or(1);
    outside.split(',').filter(|entry| entry.split(':').next() == Some("gpu")).map(count).sum()
}

/// Rejects a job that none of its partitions can ever start.
pub(crate) fn check(partitions: &[Partition], request: &Request) -> Result<(), Usage> {
    let mut refusals = Vec::new();
    for partition in requested(partitions, request)? {
        match partition.check(request) {
            Ok(()) => return Ok(()),
            Err(refusal) => refusals.push(refusal),
        }
    }
    match refusals.is_empty() {
        true => Ok(()),
        false => Err(Usage(refusals.join("; "))),
    }
}

/// The requested partitions, or the default one; empty without a default, which sbatch then reports.
fn requested<'a>(partitions: &'a [Partition], request: &Request) -> Result<Vec<&'a Partition>, Usage> {
    let Some(names) = &request.partition else {
        return Ok(partitions.iter().filter(|partition| partition.is_default).collect());
    };
    let find = |name: &str| {
        partitions.iter().find(|partition| partition.name == name).ok_or_else(|| {
            let names: Vec<_> = partitions.iter().map(|partition| &*partition.name).collect();
            Usage(format!("no partition {name} on this cluster, only {}", names.join(", ")))
        })
    };
    names.split(',').map(find).collect()
}

impl Partition {
    fn check(&self, request: &Request) -> Result<(), String> {
        let Request { nodes, gpus_per_node, time, .. } = request;
        if let Some(most) = self.max_time.filter(|most| time > most) {
            return Err(format!("--time {time}, but partition {} allows at most {most}", self.name));
        }
        let most = self.with_gpus(0).min(self.max_nodes);
        if *nodes > most {
            return Err(format!("--nodes {nodes}, but a job in partition {} gets at most {most}", self.name));
        }
        let fitting = self.with_gpus(*gpus_per_node);
        if *nodes > fitting {
            let most = self.nodes.iter().map(|nodes| nodes.gpus).max().unwrap_or(0);
            return Err(format!(
                "--nodes {nodes} with --gpus-per-node {gpus_per_node}, but partition {} has {fitting} such nodes (at most {most} GPUs on one)",
                self.name
            ));
        }
        Ok(())
    }

    /// Number of nodes with at least `gpus` GPUs.
    fn with_gpus(&self, gpus: u32) -> u32 {
        let fitting = self.nodes.iter().filter(|nodes| nodes.gpus >= gpus);
        fitting.fold(0, |count, nodes| count.saturating_add(nodes.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINFO: &str = "\
debug|30:00|1-2|4|(null)
gpu*|1-00:00:00|1-infinite|8|gpu:a100:4(S:0-1)
gpu*|1-00:00:00|1-infinite|2|gpu:h100:8(S:0,1),nic:1
big|infinite|1-infinite|1.2K|gpu:2,gpu:t4:2
";

    #[test]
    fn gpus_of_a_node() {
        let read =
            ["(null)", "gpu:2", "gpu:a100:4(S:0-1)", "nic:1,gpu:t4:2(S:0,1),gpu:2", "gpu", "gputank:3"]
                .map(gpus);
        assert_eq!(read, [0, 2, 4, 4, 1, 0]);
    }

    #[test]
    fn jobs_that_can_never_start_are_rejected_with_the_limit() {
        let partitions = parse(SINFO);
        let check = |partition: Option<&str>, nodes, gpus_per_node, time: &str, expected: &str| {
            let partition = partition.map(str::to_owned);
            let request = Request { nodes, gpus_per_node, time: time.parse().unwrap(), partition };
            let message =
                check(&partitions, &request).map_or_else(|refusal| refusal.to_string(), |()| "fits".into());
            assert_eq!(message, expected);
        };
        check(None, 10, 4, "24:00:00", "fits");
        check(None, 2, 8, "01:00:00", "fits");
        check(
            None,
            3,
            8,
            "01:00:00",
            "--nodes 3 with --gpus-per-node 8, but partition gpu has 2 such nodes (at most 8 GPUs on one)",
        );
        check(
            None,
            1,
            9,
            "01:00:00",
            "--nodes 1 with --gpus-per-node 9, but partition gpu has 0 such nodes (at most 8 GPUs on one)",
        );
        check(None, 11, 4, "01:00:00", "--nodes 11, but a job in partition gpu gets at most 10");
        check(None, 1, 4, "24:00:01", "--time 1-00:00:01, but partition gpu allows at most 1-00:00:00");
        check(Some("debug"), 3, 0, "00:10:00", "--nodes 3, but a job in partition debug gets at most 2");
        check(Some("debug,gpu"), 3, 0, "01:10:00", "fits");
        check(Some("big"), 1100, 4, "90-00:00:00", "fits");
        check(Some("bg"), 1, 1, "01:00:00", "no partition bg on this cluster, only debug, gpu, big");
    }
}
