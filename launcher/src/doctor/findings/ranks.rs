//! Checks that ranks start, connect, and compute correct all-reduces.

use regatta_run_folder::{ProbeReport, counted};

use super::super::facts::Facts;
use super::Finding;
use super::Severity::{CannotStart, Warning};

/// Returns the findings about the job as a whole.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    [libraries(facts), mpirun(facts), hosts(facts), probe(facts), cores(facts)]
        .into_iter()
        .flatten()
        .collect()
}

fn libraries(facts: &Facts) -> Option<Finding> {
    let missing = facts.trainer.missing_libraries.join(", ");
    (!missing.is_empty()).then(|| {
        let found = format!("{} needs {missing}, not found here", facts.trainer.path.display());
        CannotStart.of(found, "put the folder into LD_LIBRARY_PATH, or build the trainer on this machine")
    })
}

fn mpirun(facts: &Facts) -> Option<Finding> {
    let problem = facts.mpirun_problem.as_ref().filter(|_| facts.job.ranks > 1)?;
    Some(CannotStart.of(format!("{} ranks need an mpirun", facts.job.ranks), problem))
}

fn hosts(facts: &Facts) -> Option<Finding> {
    let found = format!("the hosts do not answer: {}", facts.hosts_problem.as_ref()?);
    let remedy =
        "every host must be reachable by ssh without a password, and have this launcher at the same path";
    Some(CannotStart.of(found, remedy))
}

fn probe(facts: &Facts) -> Option<Finding> {
    if let Some(problem) = &facts.probe_problem {
        let found = format!("`trainer probe` on {} ranks failed: {problem}", facts.job.ranks);
        return Some(CannotStart.of(found, "a run would fail the same way"));
    }
    let probe = facts.probe.as_ref()?;
    if probe.world_size != facts.job.ranks {
        return Some(world_size_mismatch(facts, probe));
    }
    let wrong = probe.all_reduce.iter().find(|sum| !sum.correct)?;
    let found = format!("the sum of {} bytes over the ranks is wrong ({})", wrong.bytes, probe.backend);
    let remedy = "do not train here: suspect memory, links or the library; try other hosts";
    Some(CannotStart.of(found, remedy))
}

/// Ranks started by an mpirun of another MPI do not find each other.
fn world_size_mismatch(facts: &Facts, probe: &ProbeReport) -> Finding {
    let mpirun = facts.mpirun.as_ref();
    let mpirun =
        mpirun.map_or_else(|| "mpirun".into(), |it| format!("{} ({})", it.path.display(), it.version));
    let linked =
        facts.trainer.mpi.as_ref().map_or_else(|| "another MPI".into(), |it| it.display().to_string());
    let (wanted, actual) = (facts.job.ranks, probe.world_size);
    let found =
        format!("{mpirun} started {wanted} ranks in worlds of {actual}: the trainer is linked with {linked}");
    CannotStart.of(found, "name the mpirun of that MPI with --mpirun or MPIRUN")
}

fn cores(facts: &Facts) -> Option<Finding> {
    let host = facts.hosts.iter().min_by_key(|host| host.cores)?;
    let ranks = facts.job.ranks_per_host;
    (ranks > host.cores).then(|| {
        let found = format!("{ranks} ranks on the {} of {}", counted(host.cores, "core"), host.name);
        Warning.of(found, "ranks share cores: use fewer ranks, or pass --oversubscribe")
    })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::super::testing;
    use super::super::tests::found;
    use super::*;

    fn check_facts(change: impl FnOnce(&mut Facts), expected: Expect) {
        expected.assert_eq(&found(testing::facts_with_gpus(), change));
    }

    #[test]
    fn a_missing_mpi_is_reported() {
        let missing = |facts: &mut Facts| {
            facts.mpirun = None;
            facts.mpirun_problem = Some("install an MPI, or name its mpirun with --mpirun or MPIRUN".into());
        };
        check_facts(
            missing,
            expect![
                "cannot start: 2 ranks need an mpirun: install an MPI, or name its mpirun with --mpirun or MPIRUN"
            ],
        );
        let alone = |facts: &mut Facts| {
            missing(facts);
            (facts.job.ranks, facts.job.ranks_per_host) = (1, 1);
            facts.probe.as_mut().unwrap().world_size = 1;
        };
        check_facts(alone, expect![""]);
    }

    #[test]
    fn an_mpirun_of_another_mpi_is_reported() {
        check_facts(
            |facts| facts.probe.as_mut().unwrap().world_size = 1,
            expect![
                "cannot start: /usr/bin/mpirun (mpirun (Open MPI) 4.1.4) started 2 ranks in worlds of 1: the trainer is linked with /usr/lib/libmpi.so.40: name the mpirun of that MPI with --mpirun or MPIRUN"
            ],
        );
    }

    #[test]
    fn a_failed_probe_is_reported_with_its_error() {
        let fails = |facts: &mut Facts| {
            facts.probe = None;
            facts.probe_problem = Some("exit code 2: ranks 0 and 1 share GPU 0000:17:00.0 on node1".into());
        };
        check_facts(
            fails,
            expect![
                "cannot start: `trainer probe` on 2 ranks failed: exit code 2: ranks 0 and 1 share GPU 0000:17:00.0 on node1: a run would fail the same way"
            ],
        );
        check_facts(
            |facts| facts.trainer.missing_libraries = vec!["libmpi.so.40".into()],
            expect![
                "cannot start: /opt/regatta/trainer needs libmpi.so.40, not found here: put the folder into LD_LIBRARY_PATH, or build the trainer on this machine"
            ],
        );
    }

    #[test]
    fn wrong_sums_are_reported() {
        check_facts(
            |facts| facts.probe.as_mut().unwrap().all_reduce[0].correct = false,
            expect![
                "cannot start: the sum of 1048576 bytes over the ranks is wrong (NCCL 2.28.9): do not train here: suspect memory, links or the library; try other hosts"
            ],
        );
    }

    #[test]
    fn silent_hosts_and_too_few_cores_are_reported() {
        check_facts(
            |facts| facts.hosts_problem = Some("exit code 1: ssh: no host b".into()),
            expect![
                "cannot start: the hosts do not answer: exit code 1: ssh: no host b: every host must be reachable by ssh without a password, and have this launcher at the same path"
            ],
        );
        check_facts(
            |facts| facts.hosts[0].cores = 1,
            expect![
                "warning: 2 ranks on the 1 core of node1: ranks share cores: use fewer ranks, or pass --oversubscribe"
            ],
        );
    }
}
