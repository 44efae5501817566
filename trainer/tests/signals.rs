//! Signals and killed ranks: what stops a run, what it leaves behind, and how fast it ends.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use regatta_run_folder::AttemptRecord;

use test_jobs::{ENDLESS, Running, TINY, Under, Workdir, checkpoint_files, documented, metrics, newest_step};

/// Saves a checkpoint after every step, so that one is being written most of the time.
const BUSY: &str = "checkpoint.interval_steps=1";
/// Time within which a job must end after the loss of a rank; on an idle machine it takes less than one second.
const END_LIMIT: Duration = Duration::from_secs(20);

/// Starts a run and waits until it has done some steps.
fn started(workdir: &Workdir, ranks: Option<usize>) -> Running {
    let job = workdir.train(&format!("{ENDLESS} {BUSY}"));
    let job = match ranks {
        Some(ranks) => job.ranks(ranks),
        None => job,
    };
    let mut running = job.start();
    running.wait_for_file(&workdir.run("recipe").metrics(), |text| text.lines().count() >= 5);
    running
}

/// Checks that the last checkpoint is complete and the run continues from it.
fn check_resumable(workdir: &Workdir, ranks: usize) {
    let step = newest_step(&workdir.run("recipe"));
    let options = format!("--resume auto {ENDLESS} {BUSY} train.max_steps={}", step + 1);
    let resumed = format!("resumed from runs/recipe/checkpoints/step-{step:09}");
    workdir.train(&options).ranks(ranks).ends_with(0).says(&resumed);
}

#[test]
fn one_signal_saves_a_checkpoint() {
    for signal in ["INT", "TERM", "USR2"] {
        let workdir = Workdir::new(TINY);
        let running = started(&workdir, None);
        running.signal(signal);
        let ended = running.wait();
        let row = format!("`{signal}` once{}", if signal == "INT" { " (Ctrl-C)" } else { "" });
        assert_eq!(ended.code, documented(&row, Under::Nothing), "{signal}: {ended}");
        if signal != "INT" {
            assert_eq!(ended.code, documented("`USR2` or `TERM` to one rank", Under::Nothing));
        }
        let step = newest_step(&workdir.run("recipe"));
        ended.says(&format!("stopped after step {step}; continue with --resume auto"));
        let end = AttemptRecord::read(&workdir.run("recipe").attempt(1)).unwrap().end.unwrap();
        assert_eq!((&*end.end, end.exit_code), ("stopped on request, checkpoint saved", 75));
        check_resumable(&workdir, 1);
    }
}

#[test]
fn mpirun_forwards_usr2() {
    let workdir = Workdir::new(TINY);
    let running = started(&workdir, Some(2));
    running.signal("USR2");
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (documented("`USR2` once", Under::Mpirun), &[][..]), "{ended}");
    ended.says("continue with --resume auto");
    check_resumable(&workdir, 2);
}

/// mpirun gives its ranks one second after Ctrl-C: either they save a checkpoint in time, or the last periodic one remains.
#[test]
fn ctrl_c_on_mpirun_leaves_a_complete_checkpoint() {
    for (signal, row) in [("INT", "`INT` once (Ctrl-C)"), ("TERM", "`TERM` once")] {
        let workdir = Workdir::new(TINY);
        let running = started(&workdir, Some(2));
        running.signal(signal);
        let ended = running.wait();
        let expected = documented(row, Under::Mpirun);
        if signal == "TERM" {
            assert_eq!(expected, documented("`TERM` to mpirun itself", Under::Mpirun));
        }
        assert_eq!((ended.code, &ended.left[..]), (expected, &[][..]), "{signal}: {ended}");
        check_resumable(&workdir, 2);
    }
}

/// A step of very many micro-batches is abandoned without a checkpoint, so exit code 75, which promises one, would be wrong.
#[test]
fn a_second_signal_exits_at_once() {
    let each = ["USR2", "INT", "TERM"].map(|signal| [(signal, None), (signal, Some(2))]);
    for (signal, ranks) in each.concat() {
        let workdir = Workdir::new(TINY);
        let mut job = workdir.train(&format!("{ENDLESS} train.global_batch_size=200000"));
        if let Some(ranks) = ranks {
            job = job.ranks(ranks);
        }
        let mut running = job.start();
        running.wait_for_message("run folder runs/recipe");
        running.wait_until_exists(&workdir.run("recipe").attempt(1));
        running.signal(signal);
        for rank in 0..ranks.unwrap_or(1) {
            let log = workdir.run("recipe").log(rank);
            running.wait_for_file(&log, |text| text.contains("stopping after this step"));
        }
        // A signal that follows sooner counts as the same request.
        std::thread::sleep(Duration::from_millis(300));
        running.signal(signal);
        let ended = running.wait();
        let under = if ranks.is_some() { Under::Mpirun } else { Under::Nothing };
        let expected = documented(&format!("`{signal}` twice"), under);
        assert_eq!(ended.code, expected, "{signal} {ranks:?}: {ended}");
        // On a second INT or TERM mpirun ends before its ranks do.
        assert!(
            ended.left.is_empty() || (ranks.is_some() && signal != "USR2"),
            "{signal} {ranks:?}: {ended}"
        );
        assert!(checkpoint_files(&workdir.run("recipe")).is_empty());
        if ranks.is_none() {
            let end = AttemptRecord::read(&workdir.run("recipe").attempt(1)).unwrap().end.unwrap();
            assert!(end.end.starts_with("exited immediately on a second signal ("), "{end:?}");
            assert_eq!(Some(end.exit_code), expected);
        }
    }
}

#[test]
fn a_killed_rank_ends_the_job() {
    for rank in [0, 1] {
        let workdir = Workdir::new(TINY);
        let running = started(&workdir, Some(2));
        running.signal_rank("KILL", rank);
        let killed = Instant::now();
        let ended = running.wait();
        let expected = documented("a rank is killed with -9", Under::Mpirun);
        assert_eq!((ended.code, &ended.left[..]), (expected, &[][..]), "rank {rank}: {ended}");
        assert!(killed.elapsed() < END_LIMIT, "{:?} after the loss of rank {rank}", killed.elapsed());
        check_resumable(&workdir, 2);
    }
}

/// A process that a signal killed has no exit code; a shell reports 128 plus the signal's number.
#[test]
fn a_run_continues_after_kill_9_of_the_trainer_or_mpirun() {
    let alone = (None, "a rank is killed with -9", Under::Nothing);
    for (ranks, row, under) in [alone, (Some(2), "`mpirun` is killed with -9", Under::Mpirun)] {
        let workdir = Workdir::new(TINY);
        let running = started(&workdir, ranks);
        running.signal("KILL");
        let ended = running.wait();
        assert_eq!((ended.code, documented(row, under)), (None, Some(128 + 9)), "{row}: {ended}");
        check_resumable(&workdir, ranks.unwrap_or(1));
    }
}

/// The environment is that of a Slurm job with twelve seconds left, a quarter of which is reserved for stopping; there is no
/// scheduler to ask.
#[test]
fn a_time_limit_stops_with_a_checkpoint_before_it() {
    for (ranks, under) in [(None, Under::Nothing), (Some(2), Under::Mpirun)] {
        let workdir = Workdir::new(TINY);
        let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 12;
        let job = workdir.train(&format!("{ENDLESS} eval.interval_epochs=0"));
        let job = match ranks {
            Some(ranks) => job.ranks(ranks),
            None => job,
        };
        let job = job.variable("SLURM_JOB_ID", "1").variable("SLURM_JOB_END_TIME", &end.to_string());
        let expected = documented("a Slurm job's time limit is near", under).unwrap();
        let ended = job.ends_with(expected).says(" s away: stopping with a checkpoint");
        let ended = ended.says("continue with --resume auto");
        // Only the checkpoint must be in time; mpirun may end later.
        let run = workdir.run("recipe");
        let manifest = run.checkpoint(newest_step(&run)).join("manifest.json");
        let saved = manifest.metadata().unwrap().modified().unwrap();
        assert!(saved < UNIX_EPOCH + Duration::from_secs(end), "{ended}");
        check_resumable(&workdir, ranks.unwrap_or(1));
    }
}

/// A scheduler may signal a single rank: all stop after the same step and save a checkpoint.
#[test]
fn a_signal_to_one_rank_stops_all() {
    for signal in ["USR2", "TERM"] {
        let workdir = Workdir::new(TINY);
        let running = started(&workdir, Some(2));
        let steps = || metrics(&workdir.run("recipe")).len() as u64;
        let before = steps();
        running.signal_rank(signal, 1);
        let ended = running.wait();
        let expected = documented("`USR2` or `TERM` to one rank", Under::Mpirun);
        assert_eq!((ended.code, &ended.left[..]), (expected, &[][..]), "{signal}: {ended}");
        let step = newest_step(&workdir.run("recipe"));
        let _ = ended.says(&format!("stopped after step {step}; continue with --resume auto"));
        let log = std::fs::read_to_string(workdir.run("recipe").log(1)).unwrap();
        assert!(log.contains("stopping after this step") && step >= before, "{signal}: {log}");
        check_resumable(&workdir, 2);
    }
}

/// `run.preemption_signal` replaces the default signal.
#[test]
fn the_recipe_chooses_the_preemption_signal() {
    let workdir = Workdir::new(TINY);
    let mut running = workdir.train(&format!("{ENDLESS} {BUSY} run.preemption_signal=usr1")).start();
    running.wait_for_file(&workdir.run("recipe").metrics(), |text| text.lines().count() >= 5);
    running.signal("USR1");
    _ = running.wait().says("stopped after step ").says("signal 10: stopping after this step");
}

/// Loading libtorch takes a third of a second, during which there are no handlers; whoever starts the trainer blocks the signals.
#[test]
fn a_signal_blocked_while_the_trainer_loads_is_not_lost() {
    for signal in ["INT", "TERM", "USR2"] {
        let workdir = Workdir::new(TINY);
        let job = workdir.train(&format!("{ENDLESS} {BUSY}"));
        let mut running = job.under(&["env", "--block-signal=INT,TERM,USR2"]).start();
        running.wait_until_blocked(signal);
        running.signal(signal);
        let ended = running.wait();
        assert_eq!(ended.code, Some(75), "{signal}: {ended}");
        _ = ended.says("stopped after step 1; continue with --resume auto");
        check_resumable(&workdir, 1);
    }
}
