//! An epoch in windows of shards has every image once, window after window, as a function of seed and epoch.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use regatta_data::{ReadAhead, WindowedOrder};

/// Shards of the given sizes, whose images are numbered from the last to the first.
fn shards(sizes: &[usize]) -> Vec<Vec<usize>> {
    let mut left: usize = sizes.iter().sum();
    let shard = |&size: &usize| {
        left -= size;
        (left..left + size).collect()
    };
    sizes.iter().map(shard).collect()
}

proptest! {
    #[test]
    fn each_window_permutes_the_images_of_its_shards(
        sizes in prop::collection::vec(0_usize..30, 0..40),
        window in 1_usize..12,
        seed: u64,
        epoch in 0_u64..5,
    ) {
        let shards = shards(&sizes);
        let order = WindowedOrder::new(shards.clone(), window, seed);
        let permutation = order.permutation(epoch).unwrap();
        prop_assert_eq!(&permutation, &WindowedOrder::new(shards.clone(), window, seed).permutation(epoch).unwrap());
        let windows = order.windows(epoch);
        let mut start = 0;
        for (number, found) in windows.iter().enumerate() {
            prop_assert_eq!(found.positions.start, start);
            start = found.positions.end;
            let is_last = number + 1 == windows.len();
            prop_assert!(found.shards.len() == window || is_last && (1..window).contains(&found.shards.len()));
            let images: BTreeSet<_> = permutation[found.positions.clone()].iter().copied().collect();
            let expected: BTreeSet<_> = found.shards.iter().flat_map(|&shard| shards[shard].clone()).collect();
            prop_assert_eq!(images, expected);
        }
        let mut seen: Vec<_> = windows.into_iter().flat_map(|window| window.shards).collect();
        seen.sort_unstable();
        prop_assert!(seen.into_iter().eq(0..sizes.len()));
        let mut all = permutation;
        all.sort_unstable();
        prop_assert!(all.into_iter().eq(0..sizes.iter().sum()));
    }
}

#[test]
fn orders_differ_between_epochs_and_seeds_and_never_change() {
    let order = |seed, epoch| WindowedOrder::new(shards(&[3; 4]), 2, seed).permutation(epoch).unwrap();
    let check = |seed, epoch, expected: [usize; 12]| assert_eq!(order(seed, epoch), expected);
    check(0, 0, [11, 2, 10, 9, 0, 1, 4, 8, 7, 5, 3, 6]);
    check(0, 1, [0, 5, 3, 4, 2, 1, 11, 8, 9, 6, 7, 10]);
    check(1, 0, [10, 11, 2, 1, 0, 9, 5, 3, 4, 7, 8, 6]);
}

/// Waits for the thread, which nothing else can tell about.
fn wait_until_read(read_ahead: &ReadAhead, bytes: u64) {
    let start = Instant::now();
    while read_ahead.bytes_read() < bytes && start.elapsed() < Duration::from_secs(60) {
        std::thread::yield_now();
    }
    assert_eq!(read_ahead.bytes_read(), bytes);
}

#[test]
fn the_current_window_and_the_next_one_are_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..4).map(|shard| folder.path().join(format!("{shard}.tar"))).collect();
    let bytes = |shard: usize| 5_000_000 * 10_u64.pow(shard as u32) / 1000;
    for (shard, path) in paths.iter().enumerate() {
        std::fs::write(path, vec![7; bytes(shard) as usize]).unwrap();
    }
    let order = WindowedOrder::new(shards(&[3; 4]), 1, 0);
    let of_epoch =
        |epoch| -> Vec<u64> { order.windows(epoch).iter().map(|window| bytes(window.shards[0])).collect() };
    let (first, second) = (of_epoch(0), of_epoch(1));
    let read_ahead = ReadAhead::start(paths, order.clone()).unwrap();
    let mut expected = first[0] + first[1];
    for position in [0, 1, 2] {
        read_ahead.advance(0, position);
        wait_until_read(&read_ahead, expected);
    }
    for (epoch, position, further) in
        [(0, 3, first[2]), (0, 6, first[3]), (0, 11, second[0]), (1, 0, second[1])]
    {
        read_ahead.advance(epoch, position);
        expected += further;
        wait_until_read(&read_ahead, expected);
    }
    // A run that continues in the middle of an epoch starts there.
    read_ahead.advance(5, 4);
    wait_until_read(&read_ahead, expected + of_epoch(5)[1] + of_epoch(5)[2]);
}

#[test]
fn missing_shards_do_not_stop_the_thread() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..4).map(|shard| folder.path().join(format!("{shard}.tar"))).collect();
    std::fs::write(&paths[2], [7; 10_000]).unwrap();
    let read_ahead = ReadAhead::start(paths, WindowedOrder::new(shards(&[3; 4]), 2, 0)).unwrap();
    read_ahead.advance(0, 0);
    wait_until_read(&read_ahead, 10_000);
}
