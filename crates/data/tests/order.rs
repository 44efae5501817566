//! An epoch in windows of shards has every image once, window after window, as a function of seed and epoch.

use std::collections::BTreeSet;

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

#[test]
fn reading_ahead_ends_with_its_owner_even_where_shards_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..4).map(|shard| folder.path().join(format!("{shard}.tar"))).collect();
    std::fs::write(&paths[2], vec![7; 10_000]).unwrap();
    let read_ahead = ReadAhead::start(paths, WindowedOrder::new(shards(&[3; 4]), 2, 0)).unwrap();
    for (epoch, position) in [(0, 0), (0, 5), (0, 11), (1, 0), (7, 3)] {
        read_ahead.advance(epoch, position);
    }
    drop(read_ahead);
}
