//! Ranks that hang or diverge: the run ends within its time-out and names the rank.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use regatta_ledger::Snapshot;
use regatta_run_folder::{AttemptRecord, Failure};

use test_jobs::{ENDLESS, Running, TINY, Workdir, newest_step};

/// Time within which a job must end, including a time-out of two seconds and the ranks' exchange about it.
const END_LIMIT: Duration = Duration::from_secs(30);

/// Starts two ranks and waits until they have done some steps.
fn started(workdir: &Workdir, options: &str) -> Running {
    let mut running = workdir.train(&format!("{ENDLESS} {options}")).ranks(2).start();
    running.wait_for_file(&workdir.run("recipe").metrics(), |text| text.lines().count() >= 5);
    running
}

/// The ledger of a process in the memory of this host, if it exists.
fn local_ledger(process: u32, rank: usize) -> Option<PathBuf> {
    let (begin, end) = (format!("regatta-{process}-"), format!("-rank-{rank:04}.ledger"));
    let names = fs::read_dir("/dev/shm").unwrap().flatten().map(|entry| entry.path());
    let is_of = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&begin) && name.ends_with(&end)
    };
    names.into_iter().find(is_of)
}

#[test]
fn a_rank_that_hangs_is_named() {
    let workdir = Workdir::new(TINY);
    let running = started(&workdir, "comm.timeout_s=2");
    let process = running.signal_rank("STOP", 1);
    let stopped = Instant::now();
    let ended = running.wait();
    assert!(stopped.elapsed() < END_LIMIT, "{:?}", stopped.elapsed());
    assert_eq!((ended.code, &ended.left[..]), (Some(4), &[][..]), "{ended}");
    let ended = ended.says("error: a collective has not completed after 2 s (comm.timeout_s): rank 1 on ");
    let ended = ended.says(" gives no sign of life (it last entered collective ");
    let ended = ended.says("; rank 0 waits in collective ");
    assert_eq!(ended.stderr.matches("error: ").count(), 1, "{ended}");
    let failures = Failure::of_attempt(&workdir.run("recipe"), 1).unwrap();
    assert_eq!(failures.iter().map(|it| (it.rank, it.exit_code)).collect::<Vec<_>>(), [(0, 4)]);
    let log = fs::read_to_string(workdir.run("recipe").log(0)).unwrap();
    assert!(log.contains("the run ends with an error: a collective has not completed"), "{log}");

    // The last ledger of each rank can be read, also that of the stopped rank.
    let ledger = Snapshot::read(&workdir.run("recipe").ledger(0)).unwrap();
    assert!(ledger.oldest_unfinished().is_some());
    let path = local_ledger(process, 1).unwrap();
    let local = Snapshot::read(&path).unwrap();
    assert_eq!((local.rank, local.process_id), (1, process));
    fs::remove_file(path).unwrap();
}

/// A run whose ranks were all stopped for longer than the time-out continues.
#[test]
fn time_during_which_all_ranks_were_stopped_does_not_count() {
    let workdir = Workdir::new(TINY);
    let mut running = started(&workdir, "comm.timeout_s=2");
    let lines = || fs::read_to_string(workdir.run("recipe").metrics()).unwrap().lines().count();
    for rank in [0, 1] {
        running.signal_rank("STOP", rank);
    }
    std::thread::sleep(Duration::from_secs(4));
    let before = lines();
    for rank in [0, 1] {
        running.signal_rank("CONT", rank);
    }
    running.wait_for_file(&workdir.run("recipe").metrics(), |text| text.lines().count() > before + 5);
    running.signal("USR2");
    let ended = running.wait();
    assert_eq!(ended.code, Some(75), "{ended}");
}

/// The disagreement is found at once from the ledgers, without a time-out.
#[test]
fn ranks_in_different_collectives_are_named() {
    let workdir = Workdir::new(TINY);
    let running = started(&workdir, "");
    let process = running.signal_rank("STOP", 1);
    let path = local_ledger(process, 1).unwrap();
    overwrite_operations_with_barriers(&path);
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(4), &[][..]), "{ended}");
    let ended =
        ended.says("error: ranks called different collectives: ranks 0 and 1 disagree on collective ");
    _ = ended.says("rank 1 called barrier");
    fs::remove_file(path).unwrap();
}

/// Makes a ledger look as if the rank had called only barriers. The file has 16 words and then 8 words per entry, of which the
/// third is the operation and the fifth the number of bytes.
fn overwrite_operations_with_barriers(path: &Path) {
    const BARRIER: u64 = 6;
    let file = fs::File::options().write(true).open(path).unwrap();
    let entries = (fs::metadata(path).unwrap().len() / 8 - 16) / 8;
    for entry in 0..entries {
        let at = (16 + entry * 8) * 8;
        file.write_all_at(&BARRIER.to_le_bytes(), at + 2 * 8).unwrap();
        file.write_all_at(&0u64.to_le_bytes(), at + 4 * 8).unwrap();
    }
}

#[test]
fn a_run_that_ends_leaves_no_ledger_in_memory() {
    let workdir = Workdir::new(TINY);
    let running = workdir.train("").ranks(2).start();
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{ended}");
    let published = Snapshot::read(&workdir.run("recipe").ledger(1)).unwrap();
    assert_eq!(local_ledger(published.process_id, 1), None);
    assert_eq!((published.rank, published.world_size), (1, 2));
}

/// While mpirun is stopped, nothing reads the output of ranks, a pipe buffers only 64 KiB, and MPI_Finalize does not return.
#[test]
fn a_stopped_mpirun_blocks_neither_steps_nor_the_end_of_ranks() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    let mut running = started(&workdir, "comm.timeout_s=4");
    let ranks = [0, 1].map(|rank| running.rank(rank));
    running.signal("STOP");
    let before = fs::metadata(run.log(0)).unwrap().len();
    let has_grown = || fs::metadata(run.log(0)).unwrap().len() > before + 200_000;
    running.wait_for_file(&run.log(0), |_| has_grown());
    running.signal_rank("USR2", 1);
    running.wait_until_gone(&ranks);
    let end = AttemptRecord::read(&run.attempt(1)).unwrap().end.unwrap();
    assert_eq!((&*end.end, end.exit_code), ("stopped on request, checkpoint saved", 75));
    running.signal("CONT");
    let ended = running.wait();
    assert!(ended.left.is_empty(), "{ended}");
    let step = newest_step(&run);
    workdir
        .train(&format!("--resume auto {ENDLESS} train.max_steps={}", step + 1))
        .ranks(2)
        .ends_with(0)
        .says(&format!("resumed from runs/recipe/checkpoints/step-{step:09}"));
}

/// MPI_Abort would wait forever for the daemon of mpirun.
#[test]
fn a_rank_that_fails_ends_while_mpirun_is_stopped() {
    let workdir = Workdir::new(TINY);
    let mut running = started(&workdir, "comm.timeout_s=2");
    let fails = running.rank(0);
    running.signal("STOP");
    running.signal_rank("STOP", 1);
    running.wait_until_gone(&[fails]);
    let failures = Failure::of_attempt(&workdir.run("recipe"), 1).unwrap();
    assert_eq!(failures.iter().map(|it| (it.rank, it.exit_code)).collect::<Vec<_>>(), [(0, 4)]);
    running.signal("CONT");
    let ended = running.wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(4), &[][..]), "{ended}");
    _ = ended.says("rank 1 on ").says(" gives no sign of life");
}

/// The log is a pipe without a reader, which buffers only 64 KiB.
#[test]
fn a_rank_blocked_in_a_write_is_named_with_the_file() {
    let workdir = Workdir::new(TINY);
    let run = workdir.run("recipe");
    run.create().unwrap();
    assert!(Command::new("mkfifo").arg(run.log(0)).status().unwrap().success());
    let _nobody = fs::File::options().read(true).write(true).open(run.log(0)).unwrap();
    let ended = workdir.train(&format!("--resume auto {ENDLESS} comm.timeout_s=2")).ranks(2).start().wait();
    assert_eq!((ended.code, &ended.left[..]), (Some(4), &[][..]), "{ended}");
    let ended =
        ended.says("error: rank 1: a collective has not completed after 2 s (comm.timeout_s): rank 0 on ");
    let ended = ended.says(" is behind: ").says("; it is blocked writing to ");
    _ = ended.says("/runs/recipe/log/rank-0000.log");
}
