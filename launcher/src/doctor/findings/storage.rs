//! Checks of the run folder's free space and speed, and of the data set's files.

use super::super::facts::{DataSet, HostFacts, JobFacts};
use super::Finding;
use super::Severity::{CannotStart, Warning};
use super::size;

/// Bytes for logs and metrics, in addition to checkpoints.
const LOG_BYTES: u64 = 64 << 20;
/// Bytes below which a warning is given without a recipe, when the size of checkpoints is unknown.
const LOW_SPACE_BYTES: u64 = 1 << 30;
/// Write speed below which ranks wait for checkpoints.
const SLOW_MIB_PER_SECOND: f64 = 20.0;

/// Returns the findings on `host`.
pub(super) fn check(host: &HostFacts, job: &JobFacts) -> Vec<Finding> {
    [room(host, job), speed(host), host.data.as_ref().and_then(data)].into_iter().flatten().collect()
}

fn room(host: &HostFacts, job: &JobFacts) -> Option<Finding> {
    let folder = &host.run_folder;
    let path = folder.path.display();
    if let Some(problem) = &folder.problem {
        let remedy = "set run.folder to a folder that this user can write to, the same on every host";
        return Some(CannotStart.of(format!("run.folder {path}: {problem}"), remedy));
    }
    let free = folder.space?.free_bytes;
    let needed = LOG_BYTES + job.checkpoints_bytes.unwrap_or(0);
    let found = format!("{} free for run.folder {path}", size(free));
    if free < needed {
        let found = format!("{found}, and checkpoints need about {}", size(needed));
        let remedy = "free some space, move run.folder, or keep fewer checkpoints (checkpoint.keep)";
        return Some(CannotStart.of(found, remedy));
    }
    let low = job.checkpoints_bytes.map_or(LOW_SPACE_BYTES, |bytes| LOG_BYTES + 2 * bytes);
    (free < low).then(|| Warning.of(found, "free some space before a long run"))
}

fn speed(host: &HostFacts) -> Option<Finding> {
    let speed = host.run_folder.written_mib_per_second.filter(|speed| *speed < SLOW_MIB_PER_SECOND)?;
    let found = format!("run.folder writes only {speed:.1} MiB/s");
    let remedy =
        "ranks wait for checkpoints: use a faster file system, or a longer checkpoint.interval_epochs";
    Some(Warning.of(found, remedy))
}

fn data(data: &DataSet) -> Option<Finding> {
    let bad: Vec<_> = data.files.iter().filter_map(|file| Some((file, file.problem.as_ref()?))).collect();
    let (first, problem) = bad.first()?;
    let others = if bad.len() > 1 { format!(" (and {} others)", bad.len() - 1) } else { String::new() };
    let found = format!("the data set's {}{others}: {problem}", data.folder.join(&first.name).display());
    let remedy = "set data.folder to the folder with the data set's files, the same on every host";
    Some(CannotStart.of(found, remedy))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::super::facts::{DataFile, Space};
    use super::super::super::testing;
    use super::super::tests::found;
    use super::*;

    fn check_host(change: impl FnOnce(&mut HostFacts), expected: Expect) {
        expected.assert_eq(&found(testing::facts_with_gpus(), |facts| change(&mut facts.hosts[0])));
    }

    fn free(free_bytes: u64) -> Option<Space> {
        Some(Space { total_bytes: 100 << 30, free_bytes })
    }

    #[test]
    fn checkpoints_need_space() {
        check_host(
            |host| host.run_folder.space = free(150 << 20),
            expect![
                "cannot start: node1: 150.0 MiB free for run.folder runs, and checkpoints need about 164.0 MiB: free some space, move run.folder, or keep fewer checkpoints (checkpoint.keep)"
            ],
        );
        check_host(
            |host| host.run_folder.space = free(200 << 20),
            expect!["warning: node1: 200.0 MiB free for run.folder runs: free some space before a long run"],
        );
        check_host(|host| host.run_folder.space = free(300 << 20), expect![""]);
        let without_recipe = found(testing::facts_with_gpus(), |facts| {
            facts.job.checkpoints_bytes = None;
            facts.hosts[0].run_folder.space = free(300 << 20);
        });
        assert_eq!(
            without_recipe,
            "warning: node1: 300.0 MiB free for run.folder runs: free some space before a long run"
        );
    }

    #[test]
    fn a_read_only_or_slow_run_folder_is_reported() {
        check_host(
            |host| host.run_folder.problem = Some("cannot write in /: Read-only file system".into()),
            expect![
                "cannot start: node1: run.folder runs: cannot write in /: Read-only file system: set run.folder to a folder that this user can write to, the same on every host"
            ],
        );
        check_host(
            |host| host.run_folder.written_mib_per_second = Some(3.24),
            expect![
                "warning: node1: run.folder writes only 3.2 MiB/s: ranks wait for checkpoints: use a faster file system, or a longer checkpoint.interval_epochs"
            ],
        );
    }

    #[test]
    fn missing_data_files_are_reported() {
        let file = |name: &str, problem: Option<&str>| DataFile {
            name: name.into(),
            bytes: 7,
            problem: problem.map(str::to_owned),
        };
        let data = |files: Vec<DataFile>| Some(DataSet { folder: "/data".into(), files });
        let gone = Some("No such file or directory (os error 2)");
        check_host(|host| host.data = data(vec![file("first", None), file("last", None)]), expect![""]);
        check_host(
            |host| host.data = data(vec![file("first", None), file("last", gone)]),
            expect![
                "cannot start: node1: the data set's /data/last: No such file or directory (os error 2): set data.folder to the folder with the data set's files, the same on every host"
            ],
        );
        check_host(
            |host| host.data = data(vec![file("first", gone), file("last", gone)]),
            expect![
                "cannot start: node1: the data set's /data/first (and 1 others): No such file or directory (os error 2): set data.folder to the folder with the data set's files, the same on every host"
            ],
        );
    }
}
