//! Ways to stop a job under `launcher run`: its exit code, as documented in `docs/stopping.md`, and the checkpoint that it leaves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use test_jobs::{ENDLESS, Ended, TINY, Under, Workdir, documented, newest_step};

use crate::run::{ENDLESS_RUN, STEPS, ends_of_attempts, process_of, signal, start};

#[test]
fn any_signal_stops_with_a_checkpoint() {
    for (signal, row) in [
        ("INT", "`INT` once (Ctrl-C)"),
        ("TERM", "`TERM` once"),
        ("USR1", "`USR2` once"),
        ("USR2", "`USR2` once"),
        ("HUP", "`USR2` once"),
    ] {
        let workdir = Workdir::new(TINY);
        let running = start(&workdir, ENDLESS_RUN);
        running.signal(signal);
        check_stopped_once(&workdir, running.wait(), row, signal);
    }
}

/// Checks that the job ended with the code that docs/stopping.md has in `row`, with one attempt and a checkpoint.
fn check_stopped_once(workdir: &Workdir, ended: Ended, row: &str, what: &str) {
    let expected = documented(row, Under::Launcher);
    assert_eq!((ended.code, &ended.left[..]), (expected, &[][..]), "{what}: {ended}");
    let step = newest_step(&workdir.run("recipe"));
    _ = ended.says(&format!("stopped after step {step}; continue with --resume auto"));
    assert_eq!(ends_of_attempts(&workdir.run("recipe")).len(), 1);
}

/// A scheduler may signal a single rank, and ranks know the time limit of their Slurm job: here in twelve seconds.
#[test]
fn a_signal_to_one_rank_or_a_near_time_limit_stops_with_a_checkpoint() {
    for signal in ["USR2", "TERM", "none"] {
        let workdir = Workdir::new(TINY);
        let script = workdir.path().join("limited");
        let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 12;
        let limit =
            if signal == "none" { format!("SLURM_JOB_ID=1 SLURM_JOB_END_TIME={end}") } else { String::new() };
        let trainer = test_jobs::built("trainer");
        fs::write(&script, format!("#!/bin/sh\n{limit} exec {} \"$@\"\n", trainer.display())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let running = start(&workdir, &format!("{ENDLESS_RUN} --trainer limited"));
        let row = if signal == "none" {
            "a Slurm job's time limit is near"
        } else {
            running.signal_rank(signal, 1);
            "`USR2` or `TERM` to one rank"
        };
        check_stopped_once(&workdir, running.wait(), row, signal);
    }
}

/// A step of very many micro-batches does not end within the grace period, and a second request does not wait for it.
#[test]
fn a_step_that_does_not_end_is_abandoned() {
    let slow = format!("{} --set train.global_batch_size=200000", ENDLESS.replace("data.", "--set data."));
    for (options, signal, row) in [
        ("--grace 1", "TERM", "no end within `--grace`"),
        ("", "INT", "`INT` twice"),
        ("", "TERM", "`TERM` twice"),
        ("", "USR2", "`USR2` twice"),
    ] {
        let workdir = Workdir::new(TINY);
        let job =
            workdir.launcher(&format!("run --config recipe.toml -n 2 --oversubscribe {slow} {options}"));
        let mut running = job.start();
        running.wait_until_exists(&workdir.run("recipe").attempt(1));
        running.signal(signal);
        running.wait_for_message("stopping after this step");
        if row.ends_with("twice") {
            // A signal that follows sooner counts as the same request.
            std::thread::sleep(Duration::from_millis(300));
            running.signal(signal);
        }
        let ended = running.wait();
        let expected = documented(row, Under::Launcher);
        assert_eq!((ended.code, &ended.left[..]), (expected, &[][..]), "{row}: {ended}");
        _ = ended.says("launcher: stopped before a checkpoint was saved: ");
    }
}

/// After a failure the steps since the last checkpoint are lost, so exit code 75 would be wrong; before any step it is right.
#[test]
fn the_exit_code_of_a_stop_between_two_starts_tells_whether_work_is_lost() {
    let workdir = Workdir::new(TINY);
    let mut running = start(&workdir, &format!("{ENDLESS_RUN} --back-off 600"));
    running.signal_rank("KILL", 1);
    running.wait_for_message("Restart 1 of 3 from ");
    running.signal("TERM");
    let ended = running.wait();
    assert_eq!(ended.code, documented("between two starts, after a failure", Under::Launcher), "{ended}");

    let script = workdir.path().join("fails");
    fs::write(&script, "#!/bin/sh\nexit 9\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let line = "run --config recipe.toml -n 1 --name other --trainer fails --back-off 600";
    let mut running = workdir.launcher(line).start();
    running.wait_for_message("Restart 1 of 3 from the beginning");
    running.signal("TERM");
    let ended = running.wait();
    assert_eq!(ended.code, documented("between two starts, nothing begun", Under::Launcher), "{ended}");
    _ = ended.says("launcher: stopped between two starts");
}

/// The request waits until ranks can handle it: it ends neither mpirun nor a rank that is still loading.
#[test]
fn a_signal_at_any_moment_of_the_start_stops_the_run() {
    let line = format!("run --config recipe.toml -n 2 --oversubscribe {STEPS} {ENDLESS_RUN}");
    for (what, number_of_processes) in [("the launcher alone", 1), ("mpirun", 2), ("the ranks", 4)] {
        let workdir = Workdir::new(TINY);
        let mut running = workdir.launcher(&line).start();
        // The launcher installs its handlers first.
        running.wait_until_handled("TERM");
        running.wait_for_processes(number_of_processes);
        running.signal("TERM");
        let ended = running.wait();
        let expected = documented("at any moment of the start", Under::Launcher);
        assert_eq!((ended.code, &ended.left[..]), (expected, &[][..]), "{what}: {ended}");
        if workdir.run("recipe").attempt(1).exists() {
            let step = newest_step(&workdir.run("recipe"));
            _ = ended.says(&format!("stopped after step {step}; continue with --resume auto"));
        } else {
            _ = ended.says("launcher: stopped ");
        }
    }
}

/// mpirun then ends with an exit code of its own; the launcher knows that the ranks have saved a checkpoint.
#[test]
fn a_signal_to_mpirun_itself_stops_with_a_checkpoint_too() {
    let workdir = Workdir::new(TINY);
    let running = start(&workdir, ENDLESS_RUN);
    signal(process_of(&running, "mpirun"), "TERM");
    let ended = running.wait();
    let expected = documented("`TERM` to mpirun itself", Under::Launcher);
    assert_eq!((ended.code, &ended.left[..]), (expected, &[][..]), "{ended}");
    assert_eq!(ends_of_attempts(&workdir.run("recipe")).len(), 1);
    newest_step(&workdir.run("recipe"));
}
