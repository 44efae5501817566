//! `launcher sweep submit`: a sweep as a job array.

use std::fs;

use regatta_sweep::{SweepFolder, results};

use super::cluster::Cluster;
use super::job::trainer;
use crate::sweep::{self, SIX};

/// A cluster with a sweep file, some seconds of work, in its working folder; None if this machine cannot run one.
fn cluster() -> Option<(Cluster, String)> {
    if trainer().is_none() {
        println!("skipped: no trainer beside the launcher, and none in TRAINER");
        return None;
    }
    let cluster = Cluster::start(None, "")?;
    let file = SIX.replace("train.epochs=4", "train.epochs=12");
    fs::write(cluster.work().join("recipe.toml"), sweep::recipe()).unwrap();
    fs::write(cluster.work().join("six.toml"), &file).unwrap();
    Some((cluster, file))
}

/// `launcher sweep submit`, with options separated by spaces; returns the job's number.
fn submit(cluster: &Cluster, options: &str) -> String {
    let options: Vec<_> = options.split_whitespace().collect();
    cluster.output(env!("CARGO_BIN_EXE_launcher"), &[&["sweep", "submit"], &options[..]].concat())
}

/// Two jobs share the networks. One is asked to stop, is requeued, and continues its network from the checkpoint.
#[test]
fn a_sweep_as_a_job_array_has_the_results_of_one_on_this_host() {
    let Some((cluster, file)) = cluster() else { return };
    let folder = SweepFolder::new(cluster.work().join("sweeps/six"));
    let id = submit(&cluster, "six.toml --at-once 2 --cpus-per-rank 1 --time 00:10:00");
    let tasks = [1, 2].map(|task| cluster.job(&format!("{id}_{task}")));
    let log = |task: u32| {
        let path = folder.logs().join(format!("slurm-{id}-{task}.log"));
        fs::read_to_string(path).unwrap_or_default()
    };
    let running = || fs::read_dir(folder.claims()).map_or(0, Iterator::count);
    cluster.wait_until("work of both jobs", || running() == 2);
    let first = ["anynet_x_e-000", "anynet_x_e-001"].map(|name| folder.run(name).metrics());
    let lines = |path: &std::path::PathBuf| fs::read_to_string(path).map_or(0, |text| text.lines().count());
    cluster.wait_until("some steps", || first.iter().all(|path| lines(path) > 30));
    tasks[0].ask_to_stop();
    tasks[0].is_done_after(1);
    tasks[1].is_done_after(0);
    assert!(log(1).contains("stopped; `launcher sweep start"), "{}", log(1));

    let recorded = results::read(&folder.results()).unwrap();
    assert_eq!(recorded.len(), 6, "{}\n{}", log(1), log(2));
    let attempts: Vec<_> = recorded.iter().map(|result| result.attempts).collect();
    assert_eq!(attempts.iter().sum::<u64>(), 7, "one network was interrupted: {attempts:?}");
    let undisturbed = sweep::workdir(&file);
    sweep::start(&undisturbed, "").ends_with(0);
    assert_eq!(sweep::repeatable(&recorded), sweep::repeatable(&sweep::recorded(&undisturbed)));
}

/// Nothing is submitted and no folder is left, and the error names the limit.
#[test]
fn sweeps_that_the_cluster_can_never_train_are_rejected() {
    let Some((cluster, _)) = cluster() else { return };
    let check = |options: &str, expected: &str| {
        let mut command = cluster.command(env!("CARGO_BIN_EXE_launcher"));
        let output =
            command.args(["sweep", "submit", "six.toml"]).args(options.split_whitespace()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{options}");
        assert_eq!(String::from_utf8_lossy(&output.stderr).trim(), format!("error: {expected}"), "{options}");
        assert!(!cluster.work().join("sweeps").exists(), "{options}");
    };
    check("--at-once 2 --time 30:00:00", "--time 1-06:00:00, but partition low allows at most 1-00:00:00");
    check(
        "--at-once 2 --time 01:00:00 --gpus --slots 3",
        "--nodes 1 with --gpus-per-node 3, but partition low has 0 such nodes (at most 2 GPUs on one)",
    );
    check(
        "--at-once 2 --time 01:00:00 -- evil.sh",
        "-- evil.sh: sbatch would take it for the script to run: write options as --name=value",
    );
    check(
        "--at-once 2 --time 01:00:00 --gpus",
        "--gpus, but the recipe's train.device is \"cpu\": leave one of them out",
    );
    check(
        "--at-once 2 --time 00:01:00",
        "--time 00:01:00 leaves no time to train before the last --checkpoint-seconds 120: ask for more time",
    );
    assert_eq!(cluster.output("squeue", &["-h", "-t", "all"]), "");
}
