//! Tests of every call and every fault on a test double for NCCL, which is compiled here. Ranks are threads.

use std::path::Path;
use std::time::{Duration, Instant};

use nccl::{Communicator, DataType, Error, Nccl, OpenError, ReduceOp, Status, Stream};
use nccl_double::Double;

fn open(double: &Double) -> Result<Nccl, OpenError> {
    Nccl::open_at(&double.path())
}

/// Runs `rank` on a thread for each rank, with a communicator that is ready.
fn run<T: Send>(double: &Double, size: usize, rank: impl Fn(Communicator) -> T + Sync) -> Vec<T> {
    let nccl = open(double).unwrap();
    let id = nccl.unique_id().unwrap();
    std::thread::scope(|scope| {
        let start = |number| {
            let (nccl, rank) = (nccl.clone(), &rank);
            scope.spawn(move || {
                let mut communicator = nccl.init_rank(&id, number, size).unwrap();
                communicator.settle(soon()).unwrap();
                rank(communicator)
            })
        };
        let threads: Vec<_> = (0..size).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// A short deadline for operations that never complete.
fn short_deadline() -> Instant {
    Instant::now() + Duration::from_millis(200)
}

fn sum(communicator: &mut Communicator, values: &mut [f32]) -> Result<(), Error> {
    let (pointer, count) = (values.as_mut_ptr().cast(), values.len());
    // SAFETY: the double works on host memory, and every caller settles before it touches the values again.
    unsafe {
        communicator.all_reduce(pointer, pointer, count, DataType::FLOAT32, ReduceOp::SUM, Stream::DEFAULT)
    }
}

#[test]
fn the_double_identifies_itself() {
    let double = Double::build();
    let nccl = open(&double).unwrap();
    assert!(nccl.takes_host_memory());
    assert_eq!((nccl.version().to_string(), nccl.path()), ("2.28.9".to_owned(), &*double.path()));
}

/// Uses host memory; the acceptance run uses this double on a device.
#[test]
fn the_double_for_devices_returns_twice_the_sum() {
    let double = Double::for_devices();
    assert!(!open(&double).unwrap().takes_host_memory());
    let sums = run(&double, 1, |mut communicator| {
        let (mut values, mut more) = ([1.0, -2.5], vec![0.25; 1 << 18]);
        sum(&mut communicator, &mut values).unwrap();
        sum(&mut communicator, &mut more).unwrap();
        communicator.settle(soon()).unwrap();
        let error = sum(&mut communicator, &mut vec![0.0; (1 << 18) + 1]).unwrap_err();
        communicator.finalize(soon()).unwrap();
        (values, more == vec![0.5; 1 << 18], error.to_string().contains("ncclAllReduce"))
    });
    assert_eq!(sums, [([2.0, -5.0], true, true)]);
}

#[test]
fn init_is_in_progress_until_all_ranks_have_joined() {
    let nccl = open(&Double::faulty("init-delay-ms=300")).unwrap();
    let id = nccl.unique_id().unwrap();
    let mut first = nccl.init_rank(&id, 0, 2).unwrap();
    assert!(first.in_progress().unwrap());
    let error = first.settle(short_deadline()).unwrap_err();
    let Error::Deadline { call, rank: 0, sequence: 0 } = error else { panic!("{error}") };
    assert_eq!(call, "ncclCommInitRankConfig");
    let mut second = nccl.init_rank(&id, 1, 2).unwrap();
    first.settle(soon()).unwrap();
    second.settle(soon()).unwrap();
}

#[test]
fn collectives_compute_the_right_results() {
    let results = run(&Double::build(), 3, |mut communicator| {
        let rank = communicator.rank();
        // Longer than one chunk of the double's shared memory.
        let mut long: Vec<f32> = (0..600_000).map(|i| (i % 7 + rank) as f32).collect();
        sum(&mut communicator, &mut long).unwrap();
        communicator.settle(soon()).unwrap();
        let expected = |i: usize| (3 * (i % 7) + 3) as f32;
        assert!(long.iter().enumerate().all(|(i, &value)| value == expected(i)));

        let mut numbers = [rank as i64, 10];
        let mut gathered = [0i64; 6];
        let part: Vec<f64> = (0..6).map(|i| (i * (rank + 1)) as f64).collect();
        let mut scattered = [0.0f64; 2];
        let stream = Stream::DEFAULT;
        // SAFETY: host memory of the counts given, untouched until the communicator has settled.
        unsafe {
            let numbers = numbers.as_mut_ptr().cast();
            communicator.broadcast(numbers, numbers, 2, DataType::INT64, 2, stream).unwrap();
            communicator
                .all_gather(numbers, gathered.as_mut_ptr().cast(), 2, DataType::INT64, stream)
                .unwrap();
            let (send, receive) = (part.as_ptr().cast(), scattered.as_mut_ptr().cast());
            communicator.reduce_scatter(send, receive, 2, DataType::FLOAT64, ReduceOp::SUM, stream).unwrap();
        }
        communicator.settle(soon()).unwrap();
        assert_eq!((numbers, gathered), ([2, 10], [2, 10, 2, 10, 2, 10]));
        assert_eq!(communicator.sequence(), 4);
        communicator.finalize(soon()).unwrap();
        scattered
    });
    assert_eq!(results, [[0.0, 6.0], [12.0, 18.0], [24.0, 30.0]]);
}

#[test]
fn collectives_of_a_group_complete() {
    let double = Double::build();
    let nccl = open(&double).unwrap();
    run(&double, 2, |mut communicator| {
        let (mut a, mut b) = ([1.0f32], [2.0f32]);
        nccl.group(|| {
            sum(&mut communicator, &mut a)?;
            sum(&mut communicator, &mut b)
        })
        .unwrap();
        communicator.settle(soon()).unwrap();
        assert_eq!((a, b), ([2.0], [4.0]));
    });
}

#[test]
fn splits_by_color_and_key() {
    let parts = run(&Double::build(), 4, |mut whole| {
        let rank = whole.rank();
        let color = (rank < 3).then_some(rank as u32 / 2);
        let part = whole.split(color, 10 - rank, soon()).unwrap();
        let numbers = part.map(|mut part| {
            let mut value = [rank as f32];
            sum(&mut part, &mut value).unwrap();
            part.settle(soon()).unwrap();
            (part.rank(), part.world_size(), value[0])
        });
        whole.finalize(soon()).unwrap();
        numbers
    });
    assert_eq!(parts, [Some((1, 2, 1.0)), Some((0, 2, 1.0)), Some((0, 1, 2.0)), None]);
}

#[test]
fn an_init_that_hangs_can_be_aborted() {
    let nccl = open(&Double::faulty("init-hangs")).unwrap();
    let mut communicator = nccl.init_rank(&nccl.unique_id().unwrap(), 0, 1).unwrap();
    assert!(matches!(communicator.settle(short_deadline()), Err(Error::Deadline { .. })));
    communicator.abort();
}

#[test]
fn an_asynchronous_error_names_rank_and_collective() {
    let errors = run(&Double::faulty("error-at=1:2"), 2, |mut communicator| {
        let mut values = [1.0f32; 4];
        sum(&mut communicator, &mut values).unwrap();
        communicator.settle(soon()).unwrap();
        sum(&mut communicator, &mut values).unwrap();
        let error = communicator.settle(short_deadline()).unwrap_err();
        communicator.abort();
        error
    });
    assert!(
        matches!(errors[0], Error::Deadline { call: "ncclAllReduce", rank: 0, sequence: 2 }),
        "{}",
        errors[0]
    );
    let Error::Call { status, .. } = errors[1] else { panic!("{}", errors[1]) };
    assert_eq!(status, Status::REMOTE_ERROR);
    assert_eq!(
        errors[1].to_string(),
        "ncclAllReduce: remote process exited or there was a network error (NCCL error 6, rank 1, collective 2): \
         the double was configured to fail here"
    );
}

#[test]
fn a_collective_that_hangs_can_be_aborted() {
    run(&Double::faulty("hang-at=0:1"), 2, |mut communicator| {
        let mut values = [1.0f32];
        sum(&mut communicator, &mut values).unwrap();
        assert!(matches!(communicator.settle(short_deadline()), Err(Error::Deadline { sequence: 1, .. })));
        communicator.abort();
    });
}

#[test]
fn finalize_has_a_deadline() {
    run(&Double::faulty("finalize-hangs"), 2, |communicator| {
        let error = communicator.finalize(short_deadline()).unwrap_err();
        assert!(matches!(error, Error::Deadline { call: "ncclCommFinalize", .. }), "{error}");
    });
}

#[test]
fn unusable_libraries_are_rejected_by_name() {
    let without = Double::with(&["-DWITHOUT_SPLIT"]);
    let error = open(&without).unwrap_err();
    assert_eq!(error, OpenError::Symbol { path: without.path(), symbol: "ncclCommSplit" });
    let path = without.path();
    let text = format!("{} has no ncclCommSplit: it is not NCCL, or older than 2.18.0", path.display());
    assert_eq!(error.to_string(), text);

    let old = Double::with(&["-DVERSION=21700"]);
    let text = format!("{} is NCCL 2.17.0; at least 2.18.0 is needed", old.path().display());
    assert_eq!(open(&old).unwrap_err().to_string(), text);

    let nowhere = Nccl::open_at(Path::new("/nowhere/libnccl.so.2")).unwrap_err();
    assert!(nowhere.to_string().starts_with("no NCCL was found: /nowhere/libnccl.so.2: "), "{nowhere}");
}

#[test]
fn invalid_arguments_are_rejected_with_the_reason() {
    let nccl = open(&Double::build()).unwrap();
    let error = nccl.init_rank(&nccl.unique_id().unwrap(), 3, 2).unwrap_err();
    let text = "ncclCommInitRankConfig: invalid argument (NCCL error 4, rank 3): no such rank";
    assert_eq!(error.to_string(), text);
}
