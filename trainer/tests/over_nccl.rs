//! Training over NCCL without a GPU: real processes that meet over MPI and use a test double of NCCL, which reduces host memory
//! (`nccl-rs/tests/nccl-double`) and fails on demand.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nccl_double::Double;
use regatta_ledger::{Element, Entry, Operation, Snapshot};

use test_jobs::{ENDLESS, Ended, Job, TINY, Workdir, checkpoint_files, list, repeatable_metrics};

/// Time within which a job with a time-out of two seconds must end.
const END_LIMIT: Duration = Duration::from_secs(30);

/// Makes `job` use this library, with faults.
fn over_double<'a>(double: &Double, job: Job<'a>, faults: &str) -> Job<'a> {
    job.variable("NCCL_LIBRARY", double.path().to_str().unwrap()).variable("NCCL_DOUBLE", faults)
}

const NCCL: &str = "comm.backend=nccl comm.timeout_s=2";
const SMALL_BUCKETS: &str = "comm.first_bucket_mib=0.001 comm.bucket_cap_mib=0.01";

/// The sum of two numbers does not depend on their order, so weights and metrics equal those over MPI bit for bit.
#[test]
fn a_run_over_nccl_equals_one_over_mpi_bit_for_bit() {
    let workdir = Workdir::new(TINY);
    let double = Double::build();
    let options = format!("checkpoint.keep=100 train.ema_decay=0.9 train.clip_grad_norm=1 {SMALL_BUCKETS}");
    workdir.train(&format!("--name mpi {options}")).ranks(2).ends_with(0);
    let job = workdir.train(&format!("--name nccl {NCCL} {options}")).ranks(2);
    over_double(&double, job, "").ends_with(0).says("2 ranks over NCCL 2.28.9 (").says("), started by ");
    let [mpi, nccl] = ["mpi", "nccl"].map(|name| workdir.run(name));
    assert_eq!(repeatable_metrics(&mpi), repeatable_metrics(&nccl));
    for (file, bytes) in checkpoint_files(&mpi) {
        assert!(bytes == checkpoint_files(&nccl)[&file], "{file} differs");
    }
}

/// Each call of `ncclGetUniqueId` leaves a thread that waits for ranks.
#[test]
fn only_rank_0_makes_the_id_of_the_communicator() {
    let workdir = Workdir::new(TINY);
    let double = Double::build();
    let run = |rank: usize| {
        let job = workdir.train(&format!("--name r{rank} {NCCL} train.max_steps=1")).ranks(2);
        let job = job.variable_of_rank(rank, "NCCL_DOUBLE", "id-fails");
        job.variable("NCCL_LIBRARY", double.path().to_str().unwrap())
    };
    run(1).ends_with(0).says("2 ranks over NCCL");
    run(0).ends_with(4).says("ids fail here");
}

/// In the last step of an epoch one rank has no images.
#[test]
fn four_ranks_stop_and_continue() {
    let workdir = Workdir::new(TINY);
    let double = Double::build();
    let options = format!("{NCCL} {SMALL_BUCKETS} train.micro_batch_size=2 checkpoint.keep=100");
    let run = |name: &str, more: &str| {
        let job = workdir.train(&format!("--name {name} --resume auto {options} {more}")).ranks(4);
        over_double(&double, job, "").ends_with(0).says("4 ranks over NCCL");
    };
    run("whole", "");
    run("parts", "train.max_steps=2");
    run("parts", "");
    let [whole, parts] = ["whole", "parts"].map(|name| workdir.run(name));
    assert_eq!(repeatable_metrics(&whole), repeatable_metrics(&parts));
    let newest = "checkpoints/step-000000006/model.safetensors";
    let read = |run: &regatta_run_folder::RunFolder| std::fs::read(run.path().join(newest)).unwrap();
    assert!(read(&whole) == read(&parts));
}

/// Compression halves the bytes; the sums of rounded gradients, and with them the weights, are equal on both ranks.
#[test]
fn gradients_may_be_reduced_in_bf16() {
    let workdir = Workdir::new(TINY);
    let options = format!("{NCCL} {SMALL_BUCKETS} comm.gradient_compression=bf16 train.max_steps=2");
    over_double(&Double::build(), workdir.train(&options).ranks(2), "").ends_with(0);
    let entries = Snapshot::read(&workdir.run("recipe").ledger(0)).unwrap().entries;
    let (bf16, others): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().filter(|entry| entry.step > 0).partition(|it| it.collective.element == Element::Bf16);
    let sums = others.iter().filter(|it| it.collective.operation == Operation::AllReduce);
    let largest = sums.map(|it| it.collective.bytes).max().unwrap();
    // Other than gradients, only BatchNorm statistics and what ranks agree on are summed.
    assert!(bf16.len() >= 4 && largest < 2000, "{} of bf16, {largest} bytes of others", bf16.len());
    let refused = workdir.train("--name mpi comm.gradient_compression=bf16").ranks(2).ends_with(2);
    _ = refused.says("comm.gradient_compression = \"bf16\" is for ranks that sum over NCCL");
}

#[test]
fn a_single_rank_may_use_nccl() {
    let workdir = Workdir::new(TINY);
    let job = workdir.train(&format!("{NCCL} train.max_steps=1"));
    over_double(&Double::build(), job, "").ends_with(0).says("1 rank over NCCL 2.28.9 (");
}

/// Runs two ranks over the test double with a fault; they must end in time.
fn fails(faults: &str, code: i32) -> (Workdir, Ended) {
    let workdir = Workdir::new(TINY);
    let job = workdir.train(&format!("{NCCL} {ENDLESS} train.max_steps=20")).ranks(2);
    let double = Double::build();
    let job = over_double(&double, job, faults);
    let begin = Instant::now();
    let ended = job.ends_with(code);
    assert!(begin.elapsed() < END_LIMIT, "{faults}: {:?}", begin.elapsed());
    assert!(ended.left.is_empty(), "{faults}: {ended}");
    (workdir, ended)
}

#[test]
fn an_init_that_never_ends_is_reported() {
    let (_, ended) = fails("init-hangs", 4);
    let text =
        "error: cannot start NCCL: ncclCommInitRankConfig is still in progress at its deadline (rank 0, ";
    assert_eq!(ended.says(text).stderr.matches("error: ").count(), 1);
}

#[test]
fn an_asynchronous_error_is_reported() {
    let (_, ended) = fails("error-at=1:7", 4);
    _ = ended.says("error: rank 1: ncclAllReduce: remote process exited or there was a network error (NCCL error 6, rank 1, ");
}

#[test]
fn a_collective_that_never_ends_on_one_rank_is_reported() {
    let (workdir, ended) = fails("hang-at=1:7", 4);
    let ended = ended.says("error: a collective has not completed after 2 s (comm.timeout_s): ");
    let ended = ended.says("all ranks entered collective ").says("it does not finish on ranks 0 and 1");
    assert_eq!(ended.stderr.matches("error: ").count(), 1, "{ended}");
    for rank in [0, 1] {
        let ledger = Snapshot::read(&workdir.run("recipe").ledger(rank)).unwrap();
        assert!(ledger.oldest_unfinished().is_some(), "rank {rank}");
        let log = std::fs::read_to_string(workdir.run("recipe").log(rank)).unwrap();
        assert!(
            log.contains("the run ends with an error: a collective has not completed"),
            "rank {rank}: {log}"
        );
    }
}

#[test]
fn a_finalize_that_never_ends_is_reported() {
    let (_, ended) = fails("finalize-hangs", 4);
    _ = ended.says("cannot shut down NCCL: ncclCommFinalize is still in progress at its deadline");
}

#[test]
fn unsuitable_libraries_are_rejected_before_anything_is_written() {
    let workdir = Workdir::new(TINY);
    let refused = |library: &Path, text: &str| {
        let job = workdir.train(NCCL).ranks(2).variable("NCCL_LIBRARY", library.to_str().unwrap());
        let ended = job.ends_with(2).says(text);
        assert_eq!(ended.stderr.matches("error: ").count(), 1, "{ended}");
        assert_eq!(list(workdir.path()), ["recipe.toml"], "{ended}");
    };
    refused(
        &Double::with(&["-DWITHOUT_SPLIT"]).path(),
        "libnccl_double.so has no ncclCommSplit: it is not NCCL",
    );
    refused(&Double::with(&["-DVERSION=21700"]).path(), "is NCCL 2.17.0; at least 2.18.0 is needed");
    let text = "no NCCL was found: NCCL_LIBRARY: /nowhere/libnccl.so: cannot open shared object file";
    refused(Path::new("/nowhere/libnccl.so"), text);
}

/// NVIDIA's library is installed, but there is no GPU.
#[test]
fn the_real_library_requires_gpus() {
    let libtorch = std::env::var_os("LIBTORCH").map(PathBuf::from).unwrap_or_default();
    let library = libtorch.parent().map(|wheels| wheels.join("nvidia/nccl/lib/libnccl.so.2"));
    let Some(library) = library.filter(|path| path.exists()) else {
        println!("skipped: no libnccl.so.2 beside LIBTORCH");
        return;
    };
    let workdir = Workdir::new(TINY);
    let job = workdir.train("comm.backend=nccl").ranks(2);
    let ended = job.variable("NCCL_LIBRARY", library.to_str().unwrap()).ends_with(2);
    _ = ended.says("comm.backend = \"nccl\" needs a GPU for each rank, but this run computes on CPUs");
}
