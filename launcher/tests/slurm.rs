//! The batch scripts and `launcher slurm` on a real Slurm, which the tests start: jobs that train, are stopped and are
//! requeued.

mod cluster;
mod command;
mod job;
mod scripts;
mod sweep;

use cluster::Cluster;

use crate::hosts::Hosts;

/// Options for two nodes with one rank each.
const TWO_NODES: &str = "--nodes=2 --ntasks-per-node=1 --cpus-per-task=1 --gpus-per-node=1";

/// Checks that a run which another job pre-empts ends with the weights of an undisturbed run.
fn check_pre_empted(more: &str, script: &str, options: &str) -> Option<Cluster> {
    let cluster = Cluster::for_training(more)?;
    let arguments = format!("--config recipe.toml {options} --name");
    let job = cluster.submit(TWO_NODES, script, &format!("{arguments} disturbed"));
    cluster.wait_for_steps("disturbed", 50);
    cluster.pre_empt();
    job.is_done_after(1);

    let steps = cluster.newest_step("disturbed");
    let same = format!("{arguments} undisturbed --set train.max_steps={steps}");
    cluster.submit(TWO_NODES, script, &same).is_done_after(0);
    assert_eq!((cluster.newest_step("undisturbed"), cluster.attempts("undisturbed")), (steps, vec![Some(0)]));
    assert!(
        cluster.weights("disturbed") == cluster.weights("undisturbed"),
        "weights differ after {steps} steps"
    );
    Some(cluster)
}

#[test]
fn a_job_pre_empted_under_srun_is_requeued_and_reaches_the_same_weights() {
    let Some(cluster) = check_pre_empted("", "multi-node-srun", "") else { return };
    assert_eq!(cluster.attempts("disturbed"), [Some(75), Some(0)]);
}

#[test]
fn a_job_pre_empted_under_mpirun_is_requeued_and_reaches_the_same_weights() {
    let more = "SlurmctldParameters=preempt_send_user_signal";
    let Some(cluster) = check_pre_empted(more, "multi-node-mpirun", "") else { return };
    assert_eq!(cluster.attempts("disturbed"), [Some(75), Some(0)]);
}

/// Without `preempt_send_user_signal` Slurm signals only mpirun's daemons: the last checkpoint counts.
#[test]
fn a_job_pre_empted_without_a_signal_is_requeued_and_reaches_the_same_weights() {
    check_pre_empted("", "multi-node-mpirun", "--set checkpoint.interval_steps=20");
}

#[test]
fn a_job_that_is_asked_to_stop_is_requeued() {
    let Some(cluster) = Cluster::for_training("") else { return };
    let one_node = "--ntasks-per-node=2 --cpus-per-task=1 --gpus-per-node=1";
    for (script, options) in [("single-node", one_node), ("multi-node-mpirun", TWO_NODES)] {
        let job = cluster.submit(options, script, &format!("--config recipe.toml --name {script}"));
        cluster.wait_for_steps(script, 50);
        job.ask_to_stop();
        job.is_done_after(1);
        assert_eq!(cluster.attempts(script), [Some(75), Some(0)], "{script}");
    }
}

/// The controller checks time limits every half minute.
#[test]
fn a_job_that_reaches_its_time_limit_is_requeued() {
    let Some(cluster) = Cluster::for_training("") else { return };
    let options = format!("{TWO_NODES} --time=1 --signal=B:USR2@30");
    let job = cluster.submit(&options, "multi-node-srun", "--config recipe.toml");
    job.is_done_after(1);
    assert_eq!(cluster.attempts("recipe"), [Some(75), Some(0)]);
}

#[test]
fn a_task_of_a_sweep_is_requeued_alone() {
    let Some(cluster) = Cluster::for_training("") else { return };
    let list = "--set optim.lr=0.1 --set 'train.max_steps=20'\n--set optim.lr=0.2\n";
    std::fs::write(cluster.work().join("rates.txt"), list).unwrap();
    let sweep =
        cluster.submit("--array=1-2 --cpus-per-task=1", "sweep-array", "rates.txt --config recipe.toml");
    let [first, second] = [1, 2].map(|task| cluster.job(&format!("{}_{task}", sweep.id)));
    first.is_done_after(0);
    cluster.wait_for_steps("rates-2", 50);
    second.ask_to_stop();
    second.is_done_after(1);
    assert_eq!((cluster.attempts("rates-1"), cluster.newest_step("rates-1")), (vec![Some(0)], 20));
    assert_eq!(cluster.attempts("rates-2"), [Some(75), Some(0)]);
    let resolved = std::fs::read_to_string(cluster.run("rates-2").config()).unwrap();
    assert!(resolved.contains("lr = 0.2"), "{resolved}");
}

/// A job that its user cancels saves a checkpoint and stays cancelled; a job with an invalid recipe fails.
#[test]
fn cancelled_and_failed_jobs_are_not_requeued() {
    let Some(cluster) = Cluster::for_training("") else { return };
    let scripts = ["multi-node-srun", "multi-node-mpirun"];
    // The jobs of both scripts at once, since they mostly wait.
    let jobs = scripts.map(|script| {
        (script, cluster.submit(TWO_NODES, script, &format!("--config recipe.toml --name {script}")))
    });
    for (script, job) in &jobs {
        cluster.wait_for_steps(script, 50);
        cluster.output("scancel", &[&job.id]);
    }
    cluster.wait_until("end of the jobs' scripts", || cluster.has_no_processes());
    for (script, job) in jobs {
        job.ends("CANCELLED", 0);
        assert_eq!(cluster.attempts(script)[1..], []);
    }
    let wrong =
        scripts.map(|script| cluster.submit(TWO_NODES, script, "--config recipe.toml --set optim.lr=-1"));
    for job in wrong {
        job.ends("FAILED", 0);
        assert_eq!(job.field("ExitCode"), "2:0");
    }
}

/// Slurm gives up an unreachable node and starts its job elsewhere while the first copy still runs. That copy finds that the
/// run has a newer owner and writes nothing more. Slurm would notice by itself after half a minute; the test tells it.
#[test]
fn a_job_on_an_unreachable_node_leaves_the_run_to_its_replacement() {
    let Some(hosts) = Hosts::up() else { return };
    let Some(cluster) = Cluster::for_training_on(Some(hosts), "") else { return };
    let arguments = "--config recipe.toml --set checkpoint.interval_steps=20 --name";
    let one_node = "--ntasks-per-node=1 --cpus-per-task=1 --gpus-per-node=1";
    let job = cluster.submit(one_node, "single-node", &format!("{arguments} cut"));
    cluster.wait_for_steps("cut", 50);
    let node = job.field("NodeList");
    let hosts = cluster.hosts.as_ref().unwrap();
    let host = if node == "node1" { 1 } else { 2 };
    hosts.cable(host, "down");
    cluster.output("scontrol", &["update", &format!("NodeName={node}"), "State=DOWN", "Reason=unreachable"]);
    job.is_done_after(1);
    assert_ne!(job.field("NodeList"), node);
    // The first copy received no message about it.
    let log = cluster.run("cut").log(0);
    let has_ended = || {
        std::fs::read_to_string(&log)
            .is_ok_and(|text| text.contains("attempt 1 at runs/cut is no longer the newest"))
    };
    cluster.wait_until("end of the copy", has_ended);
    hosts.cable(host, "up");
    assert_eq!(cluster.attempts("cut"), [None, Some(0)]);

    let steps = cluster.newest_step("cut");
    let same = format!("{arguments} whole --set train.max_steps={steps}");
    let other = if node == "node1" { "--nodelist=node2" } else { "--nodelist=node1" };
    cluster.submit(&format!("{one_node} {other}"), "single-node", &same).is_done_after(0);
    assert!(cluster.weights("cut") == cluster.weights("whole"), "weights differ after {steps} steps");
    let metrics = std::fs::read_to_string(cluster.run("cut").metrics()).unwrap();
    let steps_logged: Vec<_> = metrics
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["kind"] == "step")
        .map(|line| line["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps_logged, (1..=steps).collect::<Vec<_>>(), "each step once");
}

/// Inside an allocation `launcher run` takes hosts and ranks from Slurm.
#[test]
fn launcher_run_finds_its_ranks_in_an_allocation() {
    let Some(cluster) = Cluster::for_training("") else { return };
    let jobs = ["srun", "mpirun"].map(|via| {
        let run = format!(
            "{} run --config recipe.toml --trainer trainer.sh --via {via} --name {via} --set train.max_steps=60",
            env!("CARGO_BIN_EXE_launcher")
        );
        let options =
            ["--parsable", "--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1", "--output=run-%j.log"];
        let id = cluster.output("sbatch", &[&options[..], &[&format!("--wrap={run}")]].concat());
        (via, id)
    });
    for (via, id) in jobs {
        cluster.job(&id).is_done_after(0);
        let record = regatta_run_folder::AttemptRecord::read(&cluster.run(via).attempt(1)).unwrap();
        assert_eq!((record.start.world_size, record.end.unwrap().exit_code), (2, 0), "{via}");
        let printed = std::fs::read_to_string(cluster.run(via).output(0)).unwrap();
        assert!(printed.contains("done: ") && printed.contains("2 ranks over "), "{via}: {printed}");
        let hosts =
            [0, 1].map(|rank| regatta_ledger::Snapshot::read(&cluster.run(via).ledger(rank)).unwrap().host);
        assert_eq!(hosts, ["node1", "node2"], "{via}");
    }
}
