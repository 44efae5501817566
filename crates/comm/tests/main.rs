//! The contract of every backend, checked by the same code on a single rank, over MPI, and over NCCL with its test double.
//! The ranks are processes of this test binary, started by mpirun.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

use std::process::{Command, Output};
use std::time::Duration;

use nccl::Nccl;
use nccl_double::Double;
use regatta_comm::{CommError, Launch, World, end_job, first_failed, verify_same_recipe};
use regatta_settings::Backend;
use tch::{Device, Kind, Tensor};
use test_jobs::{mpi_settings, mpirun, scrub};

/// Environment variable that gives the ranks their backend: `mpi`, [`DROPS`], or the path of an NCCL double.
const RANK: &str = "REGATTA_TEST_CONTRACT";
/// MPI, with rank 0 dropping its world and ending the job.
const DROPS: &str = "drops";
/// Time limit for one job, in seconds.
const LIMIT_S: &str = "100";

#[test]
fn a_single_rank() {
    check(&World::alone());
}

#[test]
fn over_mpi() {
    for ranks in 1..=3 {
        keep_the_contract(ranks, "mpi");
    }
}

#[test]
fn over_nccl() {
    let double = Double::build();
    for ranks in [1, 2, 4] {
        keep_the_contract(ranks, double.path().to_str().unwrap());
    }
}

/// A rank that drops its world and then ends the job does not wait for the others in MPI_Finalize.
#[test]
fn dropping_a_world_does_not_finalize_mpi() {
    let output = start_ranks(2, DROPS);
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
}

fn keep_the_contract(ranks: usize, backend: &str) {
    let output = start_ranks(ranks, backend);
    let text = String::from_utf8_lossy(&output.stdout);
    let all_output = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{ranks} ranks over {backend}: {}\n{all_output}", output.status);
    assert_eq!(text.matches("kept the contract").count(), ranks, "{all_output}");
}

/// Starts ranks of this binary, each of which runs [`as_a_rank`].
fn start_ranks(ranks: usize, backend: &str) -> Output {
    let mut command = Command::new("timeout");
    command.args(["-k", "5", LIMIT_S]).arg(mpirun()).args(["-n", &ranks.to_string()]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "as_a_rank", "--nocapture"]);
    scrub(&mut command);
    command.envs(mpi_settings()).env(RANK, backend).output().unwrap()
}

/// Has an effect only in a process that [`start_ranks`] started.
#[test]
fn as_a_rank() {
    let Ok(backend) = std::env::var(RANK) else { return };
    tch::set_num_threads(1);
    let carrier = if ["mpi", DROPS].contains(&backend.as_str()) { Backend::Mpi } else { Backend::Nccl };
    let fails = |rank, error: &CommError, _| panic!("rank {rank}: {error}");
    let world = World::join(carrier, &Launch::from_environment(), Duration::from_secs(30), fails).unwrap();
    if backend == DROPS {
        if world.rank() == 0 {
            drop(world);
            end_job(4);
        }
        world.barrier();
        unreachable!("rank 0 never enters the barrier");
    }
    if carrier == Backend::Nccl {
        let nccl = Nccl::open_at(backend.as_ref()).unwrap();
        let mut id = nccl.unique_id().unwrap();
        world.broadcast(&mut id.0);
        world.start_nccl(&nccl, &id, Device::Cpu).unwrap();
        world.watch_nccl();
        assert!(world.description().starts_with("NCCL "), "{}", world.description());
    }
    check(&world);
    world.finish(70).unwrap();
}

/// Checks the contract of a backend.
fn check(world: &World) {
    let (rank, size) = (world.rank(), world.world_size());
    assert!(rank < size && world.local_rank() < world.local_size() && world.local_size() <= size);
    assert!(!world.description().is_empty());

    for kind in [Kind::Float, Kind::Double] {
        for length in [0, 1, 7, 300_000] {
            check_sum(world, length, kind);
        }
    }

    let ones = |length, kind| Tensor::ones([length], (kind, Device::Cpu));
    let mut together = [ones(3, Kind::Float), ones(0, Kind::Float), ones(5, Kind::Double)];
    let [first, empty, last] = &mut together;
    world.all_reduce_together(&mut [first, empty, last]).unwrap();
    assert_eq!(
        together.map(|flat| flat.sum(Kind::Double).double_value(&[])),
        [3.0, 0.0, 5.0].map(|it| it * size as f64)
    );

    let mut counts = [rank as i64, 1, i64::MAX / 64];
    world.all_reduce_counts(&mut counts);
    let ranks = size as i64;
    assert_eq!(counts, [ranks * (ranks - 1) / 2, ranks, i64::MAX / 64 * ranks]);

    let mut bytes = [rank as u8; 5];
    world.broadcast(&mut bytes);
    assert_eq!(bytes, [0; 5]);
    let gathered = world.all_gather(&[rank as u8, 9]);
    assert_eq!(gathered, (0..size).map(|rank| vec![rank as u8, 9]).collect::<Vec<_>>());
    assert_eq!(world.all_gather(&[]), vec![Vec::<u8>::new(); size]);
    world.barrier();

    // Values of different lengths on each rank.
    let value = |rank: usize| (rank, "ümläut".repeat(50 * rank), Some(f64::NEG_INFINITY));
    assert_eq!(world.share(value(rank + 1)).unwrap(), value(1));
    assert_eq!(world.gather(&value(rank)).unwrap(), (0..size).map(value).collect::<Vec<_>>());
    // The last rank sends another type than the others expect: the error names it.
    if rank + 1 == size {
        world.gather(&u64::MAX).unwrap();
    } else {
        let error = world.gather(&1u8).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("the value that rank {} sent cannot be read as u8", size - 1)),
            "{error}"
        );
    }
    assert_eq!(first_failed(world, false), None);
    assert_eq!(first_failed(world, rank + 1 == size), Some(size - 1));
    verify_same_recipe(world, "equal").unwrap();
    let differ = verify_same_recipe(world, &format!("of rank {}", rank.min(1)));
    assert_eq!(differ.is_err(), size > 1);
    println!("rank {rank} of {size} kept the contract");
}

/// Checks sums whose last bits depend on the order of addition: all ranks must get the same bits.
fn check_sum(world: &World, length: i64, kind: Kind) {
    let (rank, size) = (world.rank() as f64, world.world_size() as f64);
    let numbers = Tensor::arange(length, (Kind::Double, Device::Cpu)) / 3.0 + rank * 0.1;
    let mut summed = numbers.to_kind(kind);
    world.all_reduce(&mut summed).unwrap();
    let exact = Tensor::arange(length, (Kind::Double, Device::Cpu)) / 3.0 * size + size * (size - 1.0) * 0.05;
    let error = (summed.to_kind(Kind::Double) - &exact).abs() / (exact + 1.0);
    let tolerance = if kind == Kind::Float { 1e-6 } else { 1e-14 };
    assert!(length == 0 || error.max().double_value(&[]) < tolerance, "{length} numbers of {kind:?}");
    let sum = summed.to_kind(Kind::Double);
    let mut bytes = vec![0; 8 * length as usize];
    sum.copy_data_u8(&mut bytes, length as usize);
    let all = world.all_gather(&bytes[..bytes.len().min(1000)]);
    assert!(all.iter().all(|other| *other == all[0]), "{length} numbers of {kind:?} differ between ranks");
}

/// Environment variable that makes this binary run out of memory: [`THREAD`], [`ALLOCATION`], or end otherwise: [`ABORT`].
const WITHOUT_MEMORY: &str = "REGATTA_TEST_WITHOUT_MEMORY";
const THREAD: &str = "thread";
const ALLOCATION: &str = "allocation";
const ABORT: &str = "abort";

/// A process without memory for a thread or for an allocation ends with exit code 70 all the same, and reports why.
#[test]
fn a_process_without_memory_ends_with_a_message() {
    use std::os::unix::process::ExitStatusExt;
    let run = |ending: &str| {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", LIMIT_S]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "as_a_process_without_memory", "--nocapture"]).env(WITHOUT_MEMORY, ending);
        scrub(&mut command);
        command.output().unwrap()
    };
    for ending in [THREAD, ALLOCATION] {
        let output = run(ending);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(70), "{ending}: {stderr}");
        assert!(stderr.contains("error: this process is out of memory or threads: lower "), "{stderr}");
    }
    let output = run(ABORT);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let aborted =
        output.status.signal() == Some(libc::SIGABRT) || output.status.code() == Some(128 + libc::SIGABRT);
    assert!(aborted && !stderr.contains("out of memory"), "{}: {stderr}", output.status);
}

/// Has an effect only in the process that the test above started.
#[test]
fn as_a_process_without_memory() {
    let Ok(ending) = std::env::var(WITHOUT_MEMORY) else { return };
    regatta_comm::explain_exhausted_memory();
    if ending == ABORT {
        std::process::abort();
    }
    let none = libc::rlimit { rlim_cur: 0, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: passes a live structure.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &none) }, 0);
    if ending == ALLOCATION {
        std::hint::black_box(vec![1_u8; 1 << 30]);
    }
    regatta_comm::exit_after(Duration::from_secs(3600), 70);
    std::thread::sleep(Duration::from_secs(3600));
}
