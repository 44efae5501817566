//! `launcher autopsy` of runs that really ended so.

use std::process::Output;

use test_jobs::{ENDLESS, Running, TINY, Workdir};

use crate::launcher;

fn autopsy(workdir: &Workdir, options: &[&str]) -> Output {
    let arguments = [&["autopsy", "runs/recipe"], options].concat();
    launcher(&arguments).current_dir(workdir.path()).output().unwrap()
}

fn text(workdir: &Workdir) -> String {
    let output = autopsy(workdir, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Two ranks some steps in, long enough for their ledgers to be published.
fn started(workdir: &Workdir, options: &str) -> Running {
    let mut running = workdir.train(&format!("{ENDLESS} {options}")).ranks(2).start();
    running.wait_for_file(&workdir.run("recipe").metrics(), |text| text.lines().count() >= 5);
    let ledger = workdir.run("recipe").ledger(1);
    running.wait_until_there(&ledger);
    running
}

#[test]
fn a_rank_that_hung_is_named() {
    let workdir = Workdir::new(TINY);
    let running = started(&workdir, "comm.timeout_s=2");
    assert!(text(&workdir).contains(" is going on: its ranks are alive"));
    running.signal_rank("STOP", 1);
    assert_eq!(running.wait().code, Some(4));
    let told = text(&workdir);
    assert!(told.contains("first to say so: rank 0 on "), "{told}");
    assert!(told.contains("rank 1 on ") && told.contains(" gives no sign of life"), "{told}");
    // mpirun wakes the stopped rank before it ends it, and its heart beats once more.
    assert!(told.contains("the ledgers: ") && told.contains("\nrank 1 on "), "{told}");
    let json = autopsy(&workdir, &["--json"]).stdout;
    let findings: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&findings["state"], &findings["attempt"]), (&"failed".into(), &1.into()));
    assert_eq!(findings["first_failure"]["exit_code"], 4);
    assert!(findings["ranks"][0]["waits_in"].is_string() && findings["ranks"].as_array().unwrap().len() == 2);
}

#[test]
fn a_rank_that_the_launcher_saw_killed_is_named() {
    let workdir = Workdir::new(TINY);
    let options = ENDLESS.replace("data.", "--set data.");
    let line = format!("run --config recipe.toml -n 2 --oversubscribe --max-restarts 0 {options}");
    let mut running = workdir.launcher(&line).start();
    running.wait_for_file(&workdir.run("recipe").metrics(), |text| text.lines().count() >= 5);
    running.signal_rank("KILL", 1);
    assert_eq!(running.wait().code, Some(137));
    let told = text(&workdir);
    assert!(told.contains(") failed\nits end, exit code 137: rank 1 on "), "{told}");
    assert!(told.contains(" was killed by signal 9 (Killed)"), "{told}");
}

#[test]
fn a_run_that_is_done_says_so_and_what_is_no_run_is_refused() {
    let workdir = Workdir::new(TINY);
    let refused = autopsy(&workdir, &[]);
    assert_eq!(refused.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(
        stderr.starts_with("error: runs/recipe: no run was started there: give a run folder"),
        "{stderr}"
    );
    workdir.train("").ends_with(0);
    let told = text(&workdir);
    assert!(
        told.contains(") is done\nnewest whole checkpoint: runs/recipe/checkpoints/step-000000006"),
        "{told}"
    );
}
