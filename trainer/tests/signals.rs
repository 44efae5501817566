//! Signals and killed ranks: what stops a run, what it leaves, and how fast it is gone.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use regatta_run_folder::AttemptRecord;

use test_jobs::{ENDLESS, Running, TINY, Under, Workdir, checkpoint_files, documented, metrics, newest_step};

/// A checkpoint after every step, so that most of the time one is being written.
const BUSY: &str = "checkpoint.interval_steps=1";
/// Within which a job is gone after the loss of a rank; it takes less than one second on an idle machine.
const SECONDS: Duration = Duration::from_secs(20);

/// A run that is some steps in.
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

/// The last checkpoint is whole, and the run goes on from it.
fn check_resumable(workdir: &Workdir, ranks: usize) {
    let step = newest_step(&workdir.run("recipe"));
    let options = format!("--resume auto {ENDLESS} {BUSY} train.max_steps={}", step + 1);
    let resumed = format!("resumed from runs/recipe/checkpoints/step-{step:09}");
    workdir.train(&options).ranks(ranks).ends_with(0).says(&resumed);
}

#[test]
fn once_saves_a_checkpoint() {
    for signal in ["INT", "TERM", "USR2"] {
        let workdir = Workdir::new(TINY);
        let running = started(&workdir, None);
        running.signal(signal);
        let ended = running.wait();
        let row = format!("`{signal}` once{}", if signal == "INT" { " (Ctrl-C)" } else { "" });
        assert_eq!(ended.code, documented(&row, Under::Nothing), "{signal}: {ended}");
        let step = newest_step(&workdir.run("recipe"));
        ended.says(&format!("stopped after step {step}; continue with --resume auto"));
        let end = AttemptRecord::read(&workdir.run("recipe").attempt(1)).unwrap().end.unwrap();
        assert_eq!((&*end.end, end.exit_code), ("stopped on request, checkpoint saved", 75));
        check_resumable(&workdir, 1);
    }
}

#[test]
fn mpirun_passes_usr2_on() {
    let workdir = Workdir::new(TINY);
    let running = started(&workdir, Some(2));
    running.signal("USR2");
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (documented("`USR2` once", Under::Mpirun), &[][..]), "{ended}");
    ended.says("continue with --resume auto");
    check_resumable(&workdir, 2);
}

/// mpirun gives its ranks a second after Ctrl-C: what fits is saved, else the last periodic checkpoint stands.
#[test]
fn ctrl_c_on_mpirun_leaves_a_whole_checkpoint() {
    for (signal, row) in [("INT", "`INT` once (Ctrl-C)"), ("TERM", "`TERM` once")] {
        let workdir = Workdir::new(TINY);
        let running = started(&workdir, Some(2));
        running.signal(signal);
        let ended = running.wait();
        let expected = documented(row, Under::Mpirun);
        assert_eq!((ended.code, &ended.left[..]), (expected, &[][..]), "{signal}: {ended}");
        check_resumable(&workdir, 2);
    }
}

/// A step of very many micro-batches is left in its middle, without a checkpoint: 75 would say that there is one.
#[test]
fn twice_leaves_at_once() {
    let each = ["USR2", "INT", "TERM"].map(|signal| [(signal, None), (signal, Some(2))]);
    for (signal, ranks) in each.concat() {
        let workdir = Workdir::new(TINY);
        let mut job = workdir.train(&format!("{ENDLESS} train.global_batch_size=200000"));
        if let Some(ranks) = ranks {
            job = job.ranks(ranks);
        }
        let mut running = job.start();
        running.wait_for_message("run folder runs/recipe");
        running.wait_until_there(&workdir.run("recipe").attempt(1));
        running.signal(signal);
        for rank in 0..ranks.unwrap_or(1) {
            let log = workdir.run("recipe").log(rank);
            running.wait_for_file(&log, |text| text.contains("stopping after this step"));
        }
        // Sooner it would count as the same request.
        std::thread::sleep(Duration::from_millis(300));
        running.signal(signal);
        let ended = running.wait();
        let under = if ranks.is_some() { Under::Mpirun } else { Under::Nothing };
        let expected = documented(&format!("`{signal}` twice"), under);
        assert_eq!(ended.code, expected, "{signal} {ranks:?}: {ended}");
        // An mpirun that is told twice to end is gone before its ranks are.
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
fn a_killed_rank_takes_the_job_along() {
    for rank in [0, 1] {
        let workdir = Workdir::new(TINY);
        let running = started(&workdir, Some(2));
        running.signal_rank("KILL", rank);
        let killed = Instant::now();
        let ended = running.wait();
        let expected = documented("a rank is killed with -9", Under::Mpirun);
        assert_eq!((ended.code, &ended.left[..]), (expected, &[][..]), "rank {rank}: {ended}");
        assert!(killed.elapsed() < SECONDS, "{:?} after the loss of rank {rank}", killed.elapsed());
        check_resumable(&workdir, 2);
    }
}

/// A job of Slurm's that ends in twelve seconds, of which a quarter is kept for stopping; there is no scheduler to ask.
#[test]
fn a_time_limit_stops_with_a_checkpoint_before_it() {
    let workdir = Workdir::new(TINY);
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 12;
    let job = workdir.train(&format!("{ENDLESS} eval.interval_epochs=0")).ranks(2);
    let job = job.variable("SLURM_JOB_ID", "1").variable("SLURM_JOB_END_TIME", &end.to_string());
    let expected = documented("a Slurm job's time limit is near", Under::Mpirun).unwrap();
    let ended = job.ends_with(expected).says(" s away: stopping with a checkpoint");
    let ended = ended.says("continue with --resume auto");
    // What counts is the checkpoint: mpirun may take its time to leave.
    let run = workdir.run("recipe");
    let manifest = run.checkpoint(newest_step(&run)).join("manifest.json");
    let saved = manifest.metadata().unwrap().modified().unwrap();
    assert!(saved < UNIX_EPOCH + Duration::from_secs(end), "{ended}");
    check_resumable(&workdir, 2);
}

/// A scheduler may tell one rank alone: all stop after the same step, and save.
#[test]
fn one_rank_that_is_told_stops_all() {
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

/// The recipe names the signal; then the other one is not ours.
#[test]
fn the_signal_is_the_recipes() {
    let workdir = Workdir::new(TINY);
    let mut running = workdir.train(&format!("{ENDLESS} {BUSY} run.preemption_signal=usr1")).start();
    running.wait_for_file(&workdir.run("recipe").metrics(), |text| text.lines().count() >= 5);
    running.signal("USR1");
    _ = running.wait().says("stopped after step ").says("signal 10: stopping after this step");
}

/// Loading libtorch takes a third of a second, in which there are no handlers: who starts the trainer holds the signals back.
#[test]
fn a_signal_that_was_held_back_while_the_trainer_was_loaded_counts() {
    for signal in ["INT", "TERM", "USR2"] {
        let workdir = Workdir::new(TINY);
        let job = workdir.train(&format!("{ENDLESS} {BUSY}"));
        let mut running = job.under(&["env", "--block-signal=INT,TERM,USR2"]).start();
        running.wait_until_held(signal);
        running.signal(signal);
        let ended = running.wait();
        assert_eq!(ended.code, Some(75), "{signal}: {ended}");
        _ = ended.says("stopped after step 1; continue with --resume auto");
        check_resumable(&workdir, 1);
    }
}
