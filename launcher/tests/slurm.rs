//! The batch scripts and `launcher slurm` against a real Slurm, which the tests start: jobs that train, are stopped and come
//! back.

mod cluster;
mod command;
mod job;
mod scripts;

use cluster::Cluster;

/// Two nodes with a rank each.
const TWO_NODES: &str = "--nodes=2 --ntasks-per-node=1 --cpus-per-task=1 --gpus-per-node=1";

/// A run of one script that another job pre-empts ends with the weights of one that nobody disturbed.
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
fn pre_empted_under_srun_it_comes_back_to_the_same_weights() {
    let Some(cluster) = check_pre_empted("", "multi-node-srun", "") else { return };
    assert_eq!(cluster.attempts("disturbed"), [Some(75), Some(0)]);
}

#[test]
fn pre_empted_under_mpirun_it_comes_back_to_the_same_weights() {
    let more = "SlurmctldParameters=preempt_send_user_signal";
    let Some(cluster) = check_pre_empted(more, "multi-node-mpirun", "") else { return };
    assert_eq!(cluster.attempts("disturbed"), [Some(75), Some(0)]);
}

/// Slurm then ends mpirun's daemons and tells nobody else: what counts is the last checkpoint, whichever it is.
#[test]
fn pre_empted_without_a_word_mpirun_comes_back_to_the_same_weights() {
    check_pre_empted("", "multi-node-mpirun", "--set checkpoint.interval_steps=20");
}

#[test]
fn a_job_that_is_asked_to_stop_comes_back() {
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

/// The controller looks at time limits every half minute.
#[test]
fn a_job_that_reaches_its_time_limit_comes_back() {
    let Some(cluster) = Cluster::for_training("") else { return };
    let options = format!("{TWO_NODES} --time=1 --signal=B:USR2@30");
    let job = cluster.submit(&options, "multi-node-srun", "--config recipe.toml");
    job.is_done_after(1);
    assert_eq!(cluster.attempts("recipe"), [Some(75), Some(0)]);
}

#[test]
fn a_task_of_a_sweep_comes_back_alone() {
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

/// A job that its user cancels saves a checkpoint and stays cancelled; one with a wrong recipe has failed.
#[test]
fn what_should_not_come_back_does_not() {
    let Some(cluster) = Cluster::for_training("") else { return };
    for script in ["multi-node-srun", "multi-node-mpirun"] {
        let job = cluster.submit(TWO_NODES, script, &format!("--config recipe.toml --name {script}"));
        cluster.wait_for_steps(script, 50);
        cluster.output("scancel", &[&job.id]);
        cluster.wait_until("end of the job's script", || cluster.has_no_processes());
        job.ends("CANCELLED", 0);
        assert_eq!(cluster.attempts(script)[1..], []);
        let wrong = cluster.submit(TWO_NODES, script, "--config recipe.toml --set optim.lr=-1");
        wrong.ends("FAILED", 0);
        assert_eq!(wrong.field("ExitCode"), "2:0");
    }
}
