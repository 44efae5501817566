//! `launcher slurm` with and without a Slurm cluster.

use std::path::Path;
use std::process::{Command, Output};

use super::cluster::Cluster;

/// `launcher slurm --config recipe.toml OPTIONS`, separated by spaces, on this cluster.
fn launcher_slurm(cluster: &Cluster, options: &str) -> Output {
    let mut command = cluster.command(env!("CARGO_BIN_EXE_launcher"));
    command.args(["slurm", "--config", "recipe.toml"]).args(options.split_whitespace());
    command.env("TRAINER", cluster.work().join("trainer.sh")).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap().trim()
}

#[test]
fn a_submitted_run_is_requeued_after_a_stop() {
    let Some(cluster) = Cluster::for_training("") else { return };
    for via in ["srun", "mpirun"] {
        let options =
            format!("--nodes 2 --gpus-per-node 1 --cpus-per-rank 1 --time 00:10:00 --via {via} --name {via}");
        let output = launcher_slurm(&cluster, &format!("{options} --resume never -- --comment=tried"));
        let [number, stderr] = [&output.stdout, &output.stderr].map(|bytes| text(bytes));
        assert!(
            output.status.success() && number.bytes().all(|byte| byte.is_ascii_digit()),
            "{number} {stderr}"
        );

        let job = cluster.job(number);
        let fields =
            ["JobName", "NumTasks", "TresPerNode", "TimeLimit", "Comment"].map(|name| job.field(name));
        assert_eq!(fields, [via, "2", "gres:gpu:1", "00:10:00", "tried"]);
        cluster.wait_for_steps(via, 50);
        job.ask_to_stop();
        job.is_done_after(1);
        assert_eq!(cluster.attempts(via), [Some(75), Some(0)]);
        let config = std::fs::read_to_string(cluster.run(via).config()).unwrap();
        assert!(config.contains(" for 2 ranks over Open MPI "), "{config}");
    }
}

/// Nothing is submitted, and the error names the limit.
#[test]
fn jobs_that_the_cluster_can_never_start_are_rejected() {
    let Some(cluster) = Cluster::for_training("") else { return };
    let check = |options: &str, expected: &str| {
        let output = launcher_slurm(&cluster, options);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{options}");
        assert_eq!(text(&output.stderr), format!("error: {expected}"), "{options}");
    };
    check(
        "--nodes 3 --gpus-per-node 1 --time 01:00:00",
        "--nodes 3, but a job in partition low gets at most 2",
    );
    check(
        "--nodes 2 --gpus-per-node 3 --ranks-per-node 1 --time 01:00:00",
        "--nodes 2 with --gpus-per-node 3, but partition low has 0 such nodes (at most 2 GPUs on one)",
    );
    check(
        "--nodes 1 --gpus-per-node 1 --time 30:00:00",
        "--time 1-06:00:00, but partition low allows at most 1-00:00:00",
    );
    check(
        "--nodes 2 --gpus-per-node 1 --time 30:00:00 -- -p high",
        "--nodes 2, but a job in partition high gets at most 1",
    );
    check(
        "--nodes 1 --gpus-per-node 1 --time 01:00:00 -- --partition=hihg",
        "no partition hihg on this cluster, only low, high",
    );
    check(
        "--nodes 2 --gpus-per-node 2 --time 01:00:00",
        "recipe.toml:16: 4 ranks, but train.global_batch_size = 10 in micro-batches of train.micro_batch_size = 4 makes only 3: train.micro_batch_size from 1 to 3 fits",
    );
    assert_eq!(cluster.output("squeue", &["-h", "-t", "all"]), "");
}

/// Runs `launcher slurm` without Slurm's programs on the path.
fn without_slurm(options: &str) -> Output {
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/regnetx32_fashion_mnist.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_launcher"));
    command.arg("slurm").arg("--config").arg(recipe).args(options.split_whitespace());
    command.env("PATH", "/nowhere").env_remove("SBATCH_PARTITION").env("TRAINER", "/bin/sh").output().unwrap()
}

#[test]
fn without_slurm_only_the_script_can_be_printed() {
    let options = "--nodes 1 --gpus-per-node 2 --time 12:00:00";
    let printed = without_slurm(&format!("{options} --dry-run"));
    let script = text(&printed.stdout);
    assert!(printed.status.success() && script.starts_with("#!/bin/bash\n"), "{}", text(&printed.stderr));
    assert!(
        script.contains(" --resume auto)\n") && script.contains(" /bin/sh \"${arguments[@]}\")"),
        "{script}"
    );

    let refused = without_slurm(options);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).starts_with("error: no sbatch on the path: "), "{}", text(&refused.stderr));
}

/// Neither a name nor an option can begin a line of the script, or name another script.
#[test]
fn names_and_options_cannot_inject_commands_into_the_script() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/regnetx32_fashion_mnist.toml");
    let renamed = folder.path().join("r\n#SBATCH --reservation=x.toml");
    std::fs::copy(&recipe, &renamed).unwrap();
    let refused = |config: &Path, more: &[&str], expected: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_launcher"));
        command.args(["slurm", "--nodes", "1", "--gpus-per-node", "1", "--time", "01:00:00", "--dry-run"]);
        command.arg("--config").arg(config).args(more);
        let output = command.env("PATH", "/nowhere").env("TRAINER", "/bin/sh").output().unwrap();
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{more:?}");
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    };
    refused(&recipe, &["--name", "x\ntouch pwn\n#"], "");
    refused(&recipe, &["--set", "data.folder=\"a\nb\""], "control characters");
    refused(&recipe, &["--resume", "runs/\ntouch pwn"], "control characters");
    refused(&renamed, &[], "control characters");
    refused(&recipe, &["--", "--hold", "evil.sh"], "-- evil.sh: sbatch would take it for the script to run");
}

#[test]
fn invalid_options_are_rejected() {
    let check = |options: &str, expected: &str| {
        let output = without_slurm(&format!("{options} --dry-run"));
        assert_eq!(output.status.code(), Some(2), "{options}");
        assert!(text(&output.stderr).contains(expected), "{options}: {}", text(&output.stderr));
    };
    check("--nodes 0 --gpus-per-node 1 --time 01:00:00", "'0' for '--nodes <N>'");
    check("--nodes 1 --gpus-per-node 0 --time 01:00:00", "'0' for '--gpus-per-node <N>'");
    check("--nodes 1 --time 01:00:00", "--gpus-per-node <N>");
    check("--nodes 1 --gpus-per-node 1", "--time <[D-]HH:MM:SS>");
    check("--nodes 1 --gpus-per-node 1 --time 90", "expected HH:MM:SS or D-HH:MM:SS, above zero");
    check(
        "--nodes 1 --gpus-per-node 1 --time 00:02:00",
        "leaves no time to train before the last --checkpoint-seconds 120",
    );
    check("--nodes 1 --gpus-per-node 1 --time 01:00:00 --set optim.lr=-1", "optim.lr");
}
