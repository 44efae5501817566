//! Room and speed of the run folder, and the data set's files.

use super::super::facts::{DataSet, HostFacts, Job};
use super::Finding;
use super::Severity::{CannotStart, Warning};
use super::size;

/// For logs and metrics, besides checkpoints.
const BESIDES: u64 = 64 << 20;
/// Without a recipe, where checkpoints are of unknown size.
const LITTLE: u64 = 1 << 30;
/// Slower, and ranks wait for checkpoints.
const SLOW_MIB_PER_SECOND: f64 = 20.0;

/// What is found on `host`.
pub(super) fn check(host: &HostFacts, job: &Job) -> Vec<Finding> {
    [room(host, job), speed(host), host.data.as_ref().and_then(data)].into_iter().flatten().collect()
}

fn room(host: &HostFacts, job: &Job) -> Option<Finding> {
    let folder = &host.run_folder;
    let path = folder.path.display();
    if let Some(problem) = &folder.problem {
        let remedy = "set run.folder to one that this user can write to, on every host the same";
        return Some(CannotStart.of(format!("run.folder {path}: {problem}"), remedy));
    }
    let free = folder.space?.free_bytes;
    let needed = BESIDES + job.checkpoints_bytes.unwrap_or(0);
    let what = format!("{} free for run.folder {path}", size(free));
    if free < needed {
        let what = format!("{what}, and checkpoints need about {}", size(needed));
        let remedy = "make room, set run.folder to another place, or keep fewer (checkpoint.keep)";
        return Some(CannotStart.of(what, remedy));
    }
    let little = job.checkpoints_bytes.map_or(LITTLE, |bytes| BESIDES + 2 * bytes);
    (free < little).then(|| Warning.of(what, "make room before a long run"))
}

fn speed(host: &HostFacts) -> Option<Finding> {
    let speed = host.run_folder.written_mib_per_second.filter(|speed| *speed < SLOW_MIB_PER_SECOND)?;
    let what = format!("run.folder takes {speed:.1} MiB/s");
    let remedy = "ranks wait for checkpoints: a faster place, or a longer checkpoint.interval_epochs";
    Some(Warning.of(what, remedy))
}

fn data(data: &DataSet) -> Option<Finding> {
    let bad: Vec<_> = data.files.iter().filter_map(|file| Some((file, file.problem.as_ref()?))).collect();
    let (first, problem) = bad.first()?;
    let others = if bad.len() > 1 { format!(" (and {} others)", bad.len() - 1) } else { String::new() };
    let what = format!("the data set's {}{others}: {problem}", data.folder.join(&first.name).display());
    let remedy = "set data.folder to the folder with the data set's files, on every host the same";
    Some(CannotStart.of(what, remedy))
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
    fn checkpoints_need_room() {
        check_host(
            |host| host.run_folder.space = free(150 << 20),
            expect![
                "cannot start: node1: 150.0 MiB free for run.folder runs, and checkpoints need about 164.0 MiB: make room, set run.folder to another place, or keep fewer (checkpoint.keep)"
            ],
        );
        check_host(
            |host| host.run_folder.space = free(200 << 20),
            expect!["warning: node1: 200.0 MiB free for run.folder runs: make room before a long run"],
        );
        check_host(|host| host.run_folder.space = free(300 << 20), expect![""]);
        let without_recipe = found(testing::facts_with_gpus(), |facts| {
            facts.job.checkpoints_bytes = None;
            facts.hosts[0].run_folder.space = free(300 << 20);
        });
        assert_eq!(
            without_recipe,
            "warning: node1: 300.0 MiB free for run.folder runs: make room before a long run"
        );
    }

    #[test]
    fn the_run_folder_takes_files_and_takes_them_fast() {
        check_host(
            |host| host.run_folder.problem = Some("cannot write in /: Read-only file system".into()),
            expect![
                "cannot start: node1: run.folder runs: cannot write in /: Read-only file system: set run.folder to one that this user can write to, on every host the same"
            ],
        );
        check_host(
            |host| host.run_folder.written_mib_per_second = Some(3.24),
            expect![
                "warning: node1: run.folder takes 3.2 MiB/s: ranks wait for checkpoints: a faster place, or a longer checkpoint.interval_epochs"
            ],
        );
    }

    #[test]
    fn files_of_the_data_set_may_be_missing() {
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
                "cannot start: node1: the data set's /data/last: No such file or directory (os error 2): set data.folder to the folder with the data set's files, on every host the same"
            ],
        );
        check_host(
            |host| host.data = data(vec![file("first", gone), file("last", gone)]),
            expect![
                "cannot start: node1: the data set's /data/first (and 1 others): No such file or directory (os error 2): set data.folder to the folder with the data set's files, on every host the same"
            ],
        );
    }
}
