//! Starts things on ranks: the trainer's probe on all of the job's, and the doctor on each host.

use std::path::Path;
use std::time::Duration;

use regatta_run_folder::ProbeReport;

use super::facts::HostFacts;
use super::host::now_ns;
use crate::run::command_line::{CommandLine, Job};
use crate::run::hosts::Host;
use crate::run::mpi::Kind;
use crate::timed::{self, Ended};

/// What a probe may take: libtorch's start from a slow file system, and the sums.
const PROBE: Duration = Duration::from_secs(180);
/// What the hosts may take to tell of themselves.
const HOSTS: Duration = Duration::from_secs(60);

/// `trainer probe --json OPTIONS` on the job's ranks, or why there is none.
pub(crate) fn probe(job: &Job, options: Vec<String>) -> Result<ProbeReport, String> {
    let arguments = [vec!["probe".to_owned(), "--json".to_owned()], options].concat();
    let job = Job { arguments, ..job.clone() };
    // A world of one needs no mpirun, and shall not fail without one.
    let line = if job.ranks == 1 && job.hosts.is_empty() { alone(&job) } else { job.command_line() };
    let ended =
        timed::run(&mut line.command(), PROBE).map_err(|error| format!("{}: {error}", line.program))?;
    let text = of_rank_0(job.starter.kind, &ended.stdout);
    match ended.code {
        // Worlds of one all call themselves rank 0: the first of them is taken, and has a world of one.
        Some(0) => ProbeReport::parse(&text)
            .map_err(|error| format!("trainer probe printed something else than it should: {error}")),
        code => Err(complaint(job.starter.kind, code, &ended, PROBE)),
    }
}

/// Every host's facts in the order of `hosts`, each by a doctor on that host, `arguments` being this one's.
pub(crate) fn hosts(job: &Job, launcher: &Path, arguments: &[String]) -> Result<Vec<HostFacts>, String> {
    let once = job.hosts.iter().map(|host| Host { name: host.name.clone(), slots: 1 }).collect::<Vec<_>>();
    let job = Job {
        ranks: once.len(),
        hosts: once,
        trainer: launcher.to_owned(),
        arguments: arguments.to_vec(),
        ..job.clone()
    };
    let line = job.command_line();
    let begin_ns = now_ns();
    let ended =
        timed::run(&mut line.command(), HOSTS).map_err(|error| format!("{}: {error}", line.program))?;
    let end_ns = now_ns();
    if ended.code != Some(0) {
        return Err(complaint(job.starter.kind, ended.code, &ended, HOSTS));
    }
    let lines = ended.stdout.lines().filter_map(|line| job.starter.kind.rank_of_line(line));
    let mut told: Vec<(usize, HostFacts)> =
        lines.filter_map(|(rank, text)| Some((rank, serde_json::from_str(text).ok()?))).collect();
    told.sort_by_key(|(rank, _)| *rank);
    if told.len() != job.ranks {
        return Err(format!("{} of {} hosts told of themselves", told.len(), job.ranks));
    }
    Ok(told.into_iter().map(|(_, facts)| with_clock(facts, begin_ns, end_ns)).collect())
}

/// What ranks read of their hosts' clocks at one moment says more than when a doctor was started there.
pub(crate) fn compare_clocks(hosts: &mut [HostFacts], probe: &ProbeReport) {
    let clock = |name: &str| probe.ranks.iter().find(|rank| rank.host == name)?.clock_s;
    let Some(first) = hosts.first().and_then(|host| clock(&host.name)) else { return };
    for host in hosts {
        host.clock_apart_s = clock(&host.name).map_or(host.clock_apart_s, |clock| clock - first);
    }
}

/// A host that looked at its clock between two times and saw another is apart by at least the difference.
fn with_clock(facts: HostFacts, begin_ns: u64, end_ns: u64) -> HostFacts {
    let early = begin_ns.saturating_sub(facts.clock_ns) as f64;
    let late = facts.clock_ns.saturating_sub(end_ns) as f64;
    HostFacts { clock_apart_s: (late - early) / 1e9, ..facts }
}

fn alone(job: &Job) -> CommandLine {
    let program = job.trainer.display().to_string();
    CommandLine { program, arguments: job.arguments.clone(), variables: Vec::new() }
}

/// What rank 0 printed; all of it where lines bear no marks.
fn of_rank_0(kind: Kind, stdout: &str) -> String {
    let lines: Vec<_> = stdout.lines().map(|line| (line, kind.rank_of_line(line))).collect();
    let is_marked = lines.iter().any(|(_, marked)| marked.is_some());
    let of_0 = lines.iter().filter_map(|(line, marked)| match marked {
        Some((0, text)) => Some(*text),
        None if !is_marked => Some(*line),
        _ => None,
    });
    of_0.collect::<Vec<_>>().join("\n")
}

/// The first line in which a rank says an error, or else the first that anybody said.
fn complaint(kind: Kind, code: Option<i32>, ended: &Ended, limit: Duration) -> String {
    let lines =
        ended.stderr.lines().map(|line| kind.rank_of_line(line).map_or(line, |(_, text)| text).trim());
    let said: Vec<_> = lines.filter(|line| line.chars().any(char::is_alphanumeric)).collect();
    let error = said.iter().find_map(|line| line.strip_prefix("error: "));
    let said = error.or(said.first().copied()).unwrap_or("nothing was said");
    match code {
        Some(code) => format!("exit code {code}: {said}"),
        None => format!("killed, or not through after {} s: {said}", limit.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn rank_0_is_heard_among_others() {
        let marked = "[1,0]<stdout>:{\n[1,1]<stdout>:{\n[1,0]<stdout>:}\nA note of mpirun\n";
        assert_eq!(of_rank_0(Kind::OpenMpi4, marked), "{\n}");
        assert_eq!(of_rank_0(Kind::OpenMpi4, "{\n}\n"), "{\n}");
    }

    #[test]
    fn the_first_error_of_a_rank_is_what_is_told() {
        let ended = |stderr: &str| Ended { code: Some(4), stdout: String::new(), stderr: stderr.to_owned() };
        let check = |stderr, code, expected: &str| {
            let limit = Duration::from_secs(9);
            assert_eq!(complaint(Kind::OpenMpi4, code, &ended(stderr), limit), expected);
        };
        check(
            "[1,1]<stderr>:error: rank 1: no GPU\n-----\nmpirun noticed\n-----\n",
            Some(2),
            "exit code 2: rank 1: no GPU",
        );
        check("ssh: no such host\n----\n", Some(1), "exit code 1: ssh: no such host");
        check("", None, "killed, or not through after 9 s: nothing was said");
    }

    #[test]
    fn clocks_are_compared_at_one_moment() {
        let clocks = [("a", Some(100.0)), ("b", Some(97.5)), ("c", None)];
        let ranks = clocks.iter().enumerate();
        let ranks = ranks.map(|(rank, &(host, clock_s))| testing::probed_rank(rank, host, None, clock_s));
        let mut hosts = ["a", "b", "c"].map(testing::host);
        hosts[2].clock_apart_s = 1.25;
        compare_clocks(&mut hosts, &ProbeReport { ranks: ranks.collect(), ..ProbeReport::default() });
        assert_eq!(hosts.map(|host| host.clock_apart_s), [0.0, -2.5, 1.25]);
    }

    #[test]
    fn clocks_are_apart_by_what_cannot_be_explained() {
        for (clock_s, apart_s) in [(99, -1.0), (100, 0.0), (105, 0.0), (110, 0.0), (113, 3.0)] {
            let facts = HostFacts { clock_ns: clock_s * 1_000_000_000, ..testing::host("a") };
            let apart = with_clock(facts, 100_000_000_000, 110_000_000_000).clock_apart_s;
            assert_eq!(apart, apart_s, "{clock_s}");
        }
    }
}
