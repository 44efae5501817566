//! `launcher doctor` on this machine, with the real trainer and real ranks.

use std::fs;

use serde_json::Value;
use test_jobs::{Ended, TINY, Workdir, list};

/// The report of `launcher doctor --json`, which must end with exit code `code`.
fn diagnosis(workdir: &Workdir, options: &str, code: i32) -> Value {
    let ended: Ended = workdir.launcher(&format!("doctor --json {options}")).ends_with(code);
    serde_json::from_str(&ended.stdout).unwrap()
}

/// The findings that keep a run from starting.
fn reasons(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.filter(|it| it["severity"] == "cannot_start").map(|it| it["found"].as_str().unwrap()).collect()
}

#[test]
fn two_ranks_on_this_machine_can_start() {
    let workdir = Workdir::new(TINY);
    let report = diagnosis(&workdir, "--config recipe.toml -n 2", 0);
    assert_eq!((&report["can_start"], reasons(&report).len()), (&true.into(), 0), "{report:#}");
    let (facts, host) = (&report["facts"], &report["facts"]["hosts"][0]);
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(host["name"], name.trim());
    assert!(host["cores"].as_u64().unwrap() > 0 && host["clock_ns"].as_u64().unwrap() > 1 << 60);
    assert!(host["shared_memory"]["total_bytes"].as_u64().unwrap() > 0);
    assert!(host["run_folder"]["written_mib_per_second"].as_f64().unwrap() > 0.0);
    let libtorch = facts["trainer"]["libtorch_version"].as_str().unwrap();
    assert!(libtorch.starts_with("2."), "{libtorch}");
    assert!(facts["trainer"]["mpi"].as_str().unwrap().contains("libmpi"));
    let probe = &facts["probe"];
    assert_eq!((&probe["world_size"], &facts["job"]["ranks"]), (&2.into(), &2.into()));
    let sums = probe["all_reduce"].as_array().unwrap();
    assert!(sums.len() >= 4 && sums.iter().all(|sum| sum["correct"] == true), "{sums:#?}");
    assert!(sums.iter().all(|sum| sum["microseconds"].as_f64().unwrap() > 0.0));
    let ranks = probe["ranks"].as_array().unwrap().iter().map(|rank| (&rank["rank"], &rank["host"]));
    assert_eq!(ranks.collect::<Vec<_>>(), [(&0.into(), &host["name"]), (&1.into(), &host["name"])]);
    assert!(probe["loader_images_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(list(workdir.path()), ["recipe.toml"], "nothing stays");
}

#[test]
fn each_host_runs_its_own_doctor() {
    let workdir = Workdir::new(TINY);
    let report = diagnosis(&workdir, "--config recipe.toml --hosts localhost:2", 0);
    let host = &report["facts"]["hosts"][0];
    assert_eq!(report["facts"]["job"]["ranks_per_host"], 2);
    assert_eq!(report["facts"]["probe"]["world_size"], 2);
    assert!(host["clock_apart_s"].as_f64().unwrap().abs() < 1.0, "{host:#}");
    assert_eq!(report["facts"]["hosts"].as_array().unwrap().len(), 1);
}

#[test]
fn a_job_that_cannot_start_is_reported_with_the_reason() {
    let tiny = TINY.replace("dataset = \"synthetic\"", "dataset = \"mnist\"\nfolder = \"nothing\"");
    let lines = tiny.lines().filter(|line| !line.starts_with("synthetic_"));
    let workdir = Workdir::new(&lines.collect::<Vec<_>>().join("\n"));
    let report = diagnosis(&workdir, "--config recipe.toml", 2);
    assert_eq!(
        reasons(&report),
        [
            "the data set's nothing/train-images-idx3-ubyte (and 3 others): No such file or directory (os error 2)"
        ]
    );

    let ended = workdir.launcher("doctor -n 2 --mpirun /nowhere").ends_with(2);
    let expected = "cannot start: 2 ranks need an mpirun: cannot start /nowhere: No such file or directory";
    assert!(ended.stdout.contains(expected) && ended.stdout.ends_with("a run cannot start\n"), "{ended}");

    // Ranks that form no world of two, as under the mpirun of another MPI.
    let other = workdir.path().join("mpirun");
    fs::write(&other, OTHER_MPIRUN).unwrap();
    fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let report = diagnosis(&workdir, "-n 2 --mpirun ./mpirun", 2);
    let reasons = reasons(&report);
    assert!(
        reasons[0].starts_with("./mpirun (mpirun (Open MPI) 4.1.4) started 2 ranks in worlds of 1: "),
        "{reasons:?}"
    );
}

/// A stand-in for mpirun that starts two ranks which do not know of each other.
const OTHER_MPIRUN: &str = r#"#!/bin/sh
if [ "$1" = --version ]; then echo "mpirun (Open MPI) 4.1.4"; exit; fi
while [ "${1##*/}" != trainer ]; do shift; done
"$@"
exec "$@"
"#;

#[test]
fn invalid_options_are_rejected() {
    let workdir = Workdir::new(TINY);
    for (options, expected) in [
        ("-n 0", "error: -n 0: at least one rank is needed"),
        ("--hosts a:1 -n 2", "error: -n 2, but the hosts take 1 rank: give them more slots"),
        ("--config nothing.toml", "error: cannot read the recipe nothing.toml: No such file"),
        ("--config recipe.toml --set optim.lr=fast", "error: --set optim.lr=fast: optim.lr = "),
        ("--trainer nothing", "error: there is no trainer at nothing"),
    ] {
        let ended = workdir.launcher(&format!("doctor {options}")).ends_with(2);
        assert!(ended.stderr.starts_with(expected), "{options}: {ended}");
    }
}
