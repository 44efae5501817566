//! `launcher autopsy` of real runs that failed, hung, were killed or finished.

use std::process::Output;

use regatta_ledger::{Collective, Element, Ledger, Operation};
use regatta_run_folder::{Attempt, AttemptStart, ExitCode, Failure};
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

/// Starts two ranks and waits until they have done some steps and published their ledgers.
fn started(workdir: &Workdir, options: &str) -> Running {
    let mut running = workdir.train(&format!("{ENDLESS} {options}")).ranks(2).start();
    running.wait_for_file(&workdir.run("recipe").metrics(), |text| text.lines().count() >= 5);
    let ledger = workdir.run("recipe").ledger(1);
    running.wait_until_exists(&ledger);
    running
}

#[test]
fn a_rank_that_hung_is_named() {
    let workdir = Workdir::new(TINY);
    let running = started(&workdir, "comm.timeout_s=2");
    assert!(text(&workdir).contains(" is running: its ranks are alive"));
    running.signal_rank("STOP", 1);
    assert_eq!(running.wait().code, Some(4));
    let report = text(&workdir);
    assert!(report.contains("first reported failure: rank 0 on "), "{report}");
    assert!(report.contains("rank 1 on ") && report.contains(" gives no sign of life"), "{report}");
    // mpirun wakes the stopped rank before it ends it: what that one did then does not make the other the one behind.
    assert!(report.contains("\nthe ledgers: ") && report.contains("\nrank 1 on "), "{report}");
    assert!(
        !report.contains("the ledgers: rank 0 ") && !report.contains("first to fall silent: rank 0 "),
        "{report}"
    );
    let json = autopsy(&workdir, &["--json"]).stdout;
    let findings: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&findings["state"], &findings["attempt"]), (&"failed".into(), &1.into()));
    assert_eq!(findings["first_failure"]["exit_code"], 4);
    assert!(findings["ranks"][0]["waits_in"].is_string() && findings["ranks"].as_array().unwrap().len() == 2);
}

/// No record names the rank: it leaves no error, mpirun's message goes only to the terminal, and mpirun kills the others too.
#[test]
fn a_rank_that_was_killed_under_plain_mpirun_is_named() {
    for rank in [1, 0] {
        let workdir = Workdir::new(TINY);
        let running = started(&workdir, "");
        let process = running.signal_rank("KILL", rank);
        assert_ne!(running.wait().code, Some(0));
        let report = text(&workdir);
        assert!(report.contains(") failed\nits end was not recorded: "), "{report}");
        assert!(report.contains(&format!("\nfirst to fall silent: rank {rank} on ")), "{report}");
        assert!(report.contains(&format!(" (process {process}), ")), "{report}");
        assert!(!report.contains(&format!("the ledgers: rank {} ", 1 - rank)), "{report}");
        let json = autopsy(&workdir, &["--json"]).stdout;
        let findings: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(findings["first_silent"]["rank"], rank);
    }
}

/// Writes the files that ranks leave, without starting ranks.
#[test]
fn the_files_that_ranks_leave_are_explained() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    let attempt = Attempt::start(&run, &AttemptStart::here(2, vec!["trainer".into()], 0)).unwrap();
    let collective = Collective { operation: Operation::AllReduce, element: Element::F32, bytes: 4096 };
    for rank in [0, 1] {
        let ledger = Ledger::create(&workdir.path().join("ledger"), rank, 2).unwrap();
        let first = ledger.enter(collective);
        ledger.complete(first);
        if rank == 0 {
            ledger.enter(collective);
        }
        ledger.publish(&run.ledger(rank)).unwrap();
    }
    assert!(text(&workdir).contains(" is running: its ranks are alive"));
    // Not in the millisecond of the last entry.
    let failure = Failure::here(attempt.number(), 1, ExitCode::Data, "image 7 is damaged: cut short");
    Failure { failed_at_ms: failure.failed_at_ms + 1, ..failure }.leave(&run).unwrap();
    let report = text(&workdir);
    assert!(
        report.contains("first reported failure: rank 1 on ") && report.contains("exit code 3: image 7 is"),
        "{report}"
    );
    assert!(report.contains("waits in collective 2 (all_reduce of 4.0 KiB in f32, step 0)"), "{report}");
    assert!(
        report.contains("completed collective 1 (all_reduce of 4.0 KiB in f32, step 0), in no coll"),
        "{report}"
    );
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
    let report = text(&workdir);
    assert!(report.contains(") failed\nended with exit code 137: rank 1 on "), "{report}");
    assert!(report.contains(" was killed by signal 9 (Killed)"), "{report}");
}

#[test]
fn a_finished_run_is_reported_and_a_missing_one_is_rejected() {
    let workdir = Workdir::new(TINY);
    let refused = autopsy(&workdir, &[]);
    assert_eq!(refused.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(
        stderr.starts_with("error: runs/recipe: no run was started there: give a run folder"),
        "{stderr}"
    );
    workdir.train("").ends_with(0);
    let report = text(&workdir);
    assert!(
        report.contains(") is done\nnewest complete checkpoint: runs/recipe/checkpoints/step-000000006"),
        "{report}"
    );
}
