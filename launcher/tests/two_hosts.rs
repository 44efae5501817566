//! `launcher run` and `launcher doctor` on two hosts, with the cable connected and cut.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use regatta_run_folder::{AttemptRecord, RunFolder};
use test_jobs::{TINY, Workdir};

use crate::hosts::Hosts;
use crate::sweep;

/// Options with which mpirun reaches the hosts.
fn mpi(hosts: &Hosts) -> String {
    let net = format!("{}/24", hosts.address(0));
    format!(
        "--mca plm_rsh_agent {} --mca btl_tcp_if_include {net} --mca oob_tcp_if_include {net}",
        hosts.file("agent").display()
    )
}

/// `launcher run` on the first host, with one rank per host.
fn job<'a>(hosts: &Hosts, workdir: &'a Workdir, options: &str) -> test_jobs::Job<'a> {
    launcher(hosts, workdir, &format!("run {options}"))
}

/// The launcher on the first host, for one rank per host.
fn launcher<'a>(hosts: &Hosts, workdir: &'a Workdir, command: &str) -> test_jobs::Job<'a> {
    let on = hosts.file("on");
    let line = format!("{command} --config recipe.toml --hosts one:1,two:1 -- {}", mpi(hosts));
    workdir.launcher(&line).under(&[on.to_str().unwrap(), "one"])
}

/// Length and checkpoints of a run: some seconds of steps.
const STEPS: &str = "--set train.max_steps=300 --set checkpoint.interval_steps=50 --set eval.interval_epochs=0 \
                     --set data.synthetic_train_images=200000";

fn weights(run: &RunFolder) -> Vec<u8> {
    fs::read(run.checkpoint(300).join("model.safetensors")).unwrap()
}

/// The weights that an undisturbed run on this host ends with.
fn undisturbed(workdir: &Workdir) -> Vec<u8> {
    let common = "run --config recipe.toml -n 2 --oversubscribe --name undisturbed";
    workdir.launcher(&format!("{common} {STEPS}")).ends_with(0);
    weights(&workdir.run("undisturbed"))
}

#[test]
fn two_hosts_compute_the_same_weights_as_one() {
    let Some(hosts) = Hosts::up() else { return };
    let workdir = Workdir::new(TINY);
    let ended = job(&hosts, &workdir, STEPS).ends_with(0).says("2 ranks over ");
    let run = workdir.run("recipe");
    assert_eq!(AttemptRecord::read(&run.attempt(1)).unwrap().start.host, "one", "{ended}");
    let ledger = regatta_ledger::Snapshot::read(&run.ledger(1)).unwrap();
    assert_eq!((ledger.host.as_str(), ledger.world_size), ("two", 2));
    assert!(weights(&run) == undisturbed(&workdir), "{ended}");
}

/// A sweep on two hosts trains one network on each at a time.
#[test]
fn a_sweep_on_two_hosts_has_the_results_of_one_on_this_host() {
    let Some(hosts) = Hosts::up() else { return };
    let shared = sweep::workdir(sweep::SIX);
    let on = hosts.file("on");
    let line = format!("sweep start six.toml --hosts one:1,two:1 -- {}", mpi(&hosts));
    shared.launcher(&line).under(&[on.to_str().unwrap(), "one"]).ends_with(0).says("6 of 6 done");
    let attempt = |id: &str| AttemptRecord::read(&sweep::folder(&shared).run(id).attempt(1)).unwrap();
    let used: BTreeSet<_> =
        sweep::recorded(&shared).iter().map(|result| attempt(&result.id).start.host).collect();
    assert_eq!(used.into_iter().collect::<Vec<_>>(), ["one", "two"]);
    let alone = sweep::workdir(sweep::SIX);
    sweep::start(&alone, "").ends_with(0);
    let [results, expected] = [&shared, &alone].map(|workdir| sweep::repeatable(&sweep::recorded(workdir)));
    assert_eq!(results, expected);
}

/// With `--min-ranks` the run continues without a host that does not answer.
#[test]
fn an_unreachable_host_is_left_out() {
    let Some(hosts) = Hosts::up() else { return };
    let workdir = Workdir::new(TINY);
    let options = format!("{STEPS} --set comm.timeout_s=3 --min-ranks 1 --back-off 1");
    let mut running = job(&hosts, &workdir, &options).start();
    let run = workdir.run("recipe");
    running.wait_for_file(&run.metrics(), |text| text.lines().count() >= 60);
    hosts.cable(2, "down");
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(0), &[][..]), "{ended}");
    let ended = ended.says("launcher: continuing with 1 of 2 ranks").says("1 rank over ");
    assert_eq!(AttemptRecord::read(&run.attempt(2)).unwrap().start.world_size, 1, "{ended}");
    assert!(run.checkpoint(300).exists(), "{ended}");
}

/// Both ranks time out, report it and end; mpirun notices the lost host; the next start finds the cable connected again.
#[test]
fn a_run_survives_a_cut_cable() {
    let Some(hosts) = Hosts::up() else { return };
    let workdir = Workdir::new(TINY);
    let options = format!("{STEPS} --set comm.timeout_s=3 --max-restarts 9 --back-off 1");
    let mut running = job(&hosts, &workdir, &options).start();
    let run = workdir.run("recipe");
    running.wait_for_file(&run.metrics(), |text| text.lines().count() >= 60);
    hosts.cable(2, "down");
    let cut = Instant::now();
    running.wait_for_message("launcher: rank ");
    assert!(cut.elapsed() < Duration::from_secs(60), "{:?}", cut.elapsed());
    hosts.cable(2, "up");
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(0), &[][..]), "{ended}");
    let ended = ended.says("a collective has not completed after 3 s (comm.timeout_s): ");
    assert!(weights(&run) == undisturbed(&workdir), "{ended}");
}

/// A doctor examines each host, and ranks on both measure the communication.
#[test]
fn both_hosts_are_examined() {
    let Some(hosts) = Hosts::up() else { return };
    let workdir = Workdir::new(TINY);
    let ended = launcher(&hosts, &workdir, "doctor --json").ends_with(0);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let facts = &report["facts"];
    let found: Vec<_> = facts["hosts"].as_array().unwrap().iter().map(|host| &host["name"]).collect();
    assert_eq!(found, ["one", "two"], "{ended}");
    // Both hosts share one clock.
    let apart = facts["hosts"][1]["clock_apart_s"].as_f64().unwrap();
    assert!(apart.abs() < 0.5, "{apart}");
    assert_eq!((&facts["job"]["ranks_per_host"], &facts["probe"]["world_size"]), (&1.into(), &2.into()));
    assert_eq!(facts["hosts"][0]["interfaces"][0]["name"], "eth0");

    hosts.cable(2, "down");
    let ended = launcher(&hosts, &workdir, "doctor").ends_with(2);
    assert!(ended.stdout.contains("cannot start: the hosts do not answer: "), "{ended}");
}
