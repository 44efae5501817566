//! Runs the trainer's probe on all ranks of the job, and the doctor on each host.

use std::path::Path;
use std::time::Duration;

use regatta_run_folder::ProbeReport;

use super::facts::HostFacts;
use super::host::now_ns;
use crate::run::command_line::{CommandLine, Job};
use crate::run::hosts::Host;
use crate::run::mpi::Kind;
use crate::timed::{self, Ended};

/// Time limit of a probe: loading libtorch from a slow file system, and the all-reduces.
const PROBE_LIMIT: Duration = Duration::from_secs(180);
/// Time limit for the hosts to report their facts.
const HOSTS_LIMIT: Duration = Duration::from_secs(60);

/// Runs `trainer probe --json OPTIONS` on the job's ranks.
///
/// # Errors
/// The first error of a rank or the starter, or that the time limit was exceeded.
pub(crate) fn probe(job: &Job, options: Vec<String>) -> Result<ProbeReport, String> {
    let arguments = [vec!["probe".to_owned(), "--json".to_owned()], options].concat();
    let job = Job { arguments, ..job.clone() };
    // A single rank needs no mpirun, and must not fail without one.
    let line =
        if job.ranks == 1 && job.hosts.is_empty() { single_rank_command(&job) } else { job.command_line() };
    let ended =
        timed::run(&mut line.command(), PROBE_LIMIT).map_err(|error| format!("{}: {error}", line.program))?;
    let text = of_rank_0(job.starter.kind, &ended.stdout);
    match ended.code {
        // If every rank sees a world of one, all call themselves rank 0: the first report is taken.
        Some(0) => {
            ProbeReport::parse(&text).map_err(|error| format!("unexpected output of trainer probe: {error}"))
        }
        code => Err(describe_failure(job.starter.kind, code, &ended, PROBE_LIMIT)),
    }
}

/// Collects every host's facts, in the order of `job.hosts`, by running this launcher with `arguments` on each host.
///
/// # Errors
/// If a host cannot be reached or does not answer in time.
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
        timed::run(&mut line.command(), HOSTS_LIMIT).map_err(|error| format!("{}: {error}", line.program))?;
    let end_ns = now_ns();
    if ended.code != Some(0) {
        return Err(describe_failure(job.starter.kind, ended.code, &ended, HOSTS_LIMIT));
    }
    let lines = ended.stdout.lines().filter_map(|line| job.starter.kind.rank_of_line(line));
    let mut answers: Vec<(usize, HostFacts)> =
        lines.filter_map(|(rank, text)| Some((rank, serde_json::from_str(text).ok()?))).collect();
    answers.sort_by_key(|(rank, _)| *rank);
    if answers.len() != job.ranks {
        return Err(format!("only {} of {} hosts answered", answers.len(), job.ranks));
    }
    Ok(answers.into_iter().map(|(_, facts)| with_clock(facts, begin_ns, end_ns)).collect())
}

/// Takes clock offsets from the probe, whose ranks read their clocks at the same moment. This is more precise than comparing the
/// times at which doctors were started.
pub(crate) fn compare_clocks(hosts: &mut [HostFacts], probe: &ProbeReport) {
    let clock = |name: &str| probe.ranks.iter().find(|rank| rank.host == name)?.clock_s;
    let Some(first) = hosts.first().and_then(|host| clock(&host.name)) else { return };
    for host in hosts {
        host.clock_apart_s = clock(&host.name).map_or(host.clock_apart_s, |clock| clock - first);
    }
}

/// Sets the clock's offset: a host that read its clock between two times of this host and got a time outside of them is off by
/// at least the difference.
fn with_clock(facts: HostFacts, begin_ns: u64, end_ns: u64) -> HostFacts {
    let early = begin_ns.saturating_sub(facts.clock_ns) as f64;
    let late = facts.clock_ns.saturating_sub(end_ns) as f64;
    HostFacts { clock_apart_s: (late - early) / 1e9, ..facts }
}

fn single_rank_command(job: &Job) -> CommandLine {
    let program = job.trainer.display().to_string();
    CommandLine { program, arguments: job.arguments.clone(), variables: Vec::new() }
}

/// The lines of rank 0, or all lines if none is tagged with a rank.
fn of_rank_0(kind: Kind, stdout: &str) -> String {
    let lines: Vec<_> = stdout.lines().map(|line| (line, kind.rank_of_line(line))).collect();
    let is_tagged = lines.iter().any(|(_, tagged)| tagged.is_some());
    let of_0 = lines.iter().filter_map(|(line, tagged)| match tagged {
        Some((0, text)) => Some(*text),
        None if !is_tagged => Some(*line),
        _ => None,
    });
    of_0.collect::<Vec<_>>().join("\n")
}

/// Describes a failed command: by the first error line of a rank, or else the first line of its standard error.
fn describe_failure(kind: Kind, code: Option<i32>, ended: &Ended, limit: Duration) -> String {
    let lines =
        ended.stderr.lines().map(|line| kind.rank_of_line(line).map_or(line, |(_, text)| text).trim());
    let lines: Vec<_> = lines.filter(|line| line.chars().any(char::is_alphanumeric)).collect();
    let error = lines.iter().find_map(|line| line.strip_prefix("error: "));
    let line = error.or(lines.first().copied()).unwrap_or("no output");
    match code {
        Some(code) => format!("exit code {code}: {line}"),
        None => format!("killed, or not finished after {} s: {line}", limit.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn rank_0_s_output_is_extracted() {
        let tagged = "[1,0]<stdout>:{\n[1,1]<stdout>:{\n[1,0]<stdout>:}\nA note of mpirun\n";
        assert_eq!(of_rank_0(Kind::OpenMpi4, tagged), "{\n}");
        assert_eq!(of_rank_0(Kind::OpenMpi4, "{\n}\n"), "{\n}");
    }

    #[test]
    fn the_first_error_of_a_rank_is_reported() {
        let ended = |stderr: &str| Ended { code: Some(4), stdout: String::new(), stderr: stderr.to_owned() };
        let check = |stderr, code, expected: &str| {
            let limit = Duration::from_secs(9);
            assert_eq!(describe_failure(Kind::OpenMpi4, code, &ended(stderr), limit), expected);
        };
        check(
            "[1,1]<stderr>:error: rank 1: no GPU\n-----\nmpirun noticed\n-----\n",
            Some(2),
            "exit code 2: rank 1: no GPU",
        );
        check("ssh: no such host\n----\n", Some(1), "exit code 1: ssh: no such host");
        check("", None, "killed, or not finished after 9 s: no output");
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
    fn clock_offsets_are_lower_bounds() {
        for (clock_s, apart_s) in [(99, -1.0), (100, 0.0), (105, 0.0), (110, 0.0), (113, 3.0)] {
            let facts = HostFacts { clock_ns: clock_s * 1_000_000_000, ..testing::host("a") };
            let apart = with_clock(facts, 100_000_000_000, 110_000_000_000).clock_apart_s;
            assert_eq!(apart, apart_s, "{clock_s}");
        }
    }
}
