//! An epoch sees every image once, in an order and in micro-batches that do not depend on the world.

use proptest::prelude::*;
use regatta_data::{Sampler, Shard};

/// Every micro-batch of an epoch, step by step and rank by rank, as (step, number, images).
fn epoch(sampler: &Sampler, world_size: usize, epoch: u64) -> Vec<(usize, usize, Vec<usize>)> {
    let permutation = sampler.permutation(epoch).unwrap();
    let mut seen = Vec::new();
    for step in 0..sampler.steps_per_epoch() {
        for rank in 0..world_size {
            let shard = Shard { rank, world_size };
            for micro_batch in sampler.micro_batches(&permutation, step, shard) {
                seen.push((step, micro_batch.number, micro_batch.indices.to_vec()));
            }
        }
    }
    seen
}

fn samplers() -> impl Strategy<Value = Sampler> {
    (0_usize..400, 1_usize..150, 1_usize..60, any::<u64>(), any::<bool>()).prop_map(
        |(len, global_batch_size, micro_batch_size, seed, drop_last)| Sampler {
            len,
            global_batch_size,
            micro_batch_size,
            seed,
            drop_last,
        },
    )
}

proptest! {
    #[test]
    fn an_epoch_is_partitioned_exactly(sampler in samplers(), world_size in 1_usize..20, e in 0_u64..5) {
        let permutation = sampler.permutation(e).unwrap();
        let mut all = permutation.clone();
        all.sort_unstable();
        prop_assert!(all.into_iter().eq(0..sampler.len), "a permutation of the data set");

        let b = sampler.global_batch_size;
        let expected = if sampler.drop_last { sampler.len / b * b } else { sampler.len };
        let seen: Vec<usize> = epoch(&sampler, world_size, e).into_iter().flat_map(|m| m.2).collect();
        prop_assert_eq!(&seen[..], &permutation[..expected]);
    }

    #[test]
    fn a_sample_has_different_images_in_an_order_of_its_own(sampler in samplers(), e in 0_u64..5) {
        let permutation = sampler.permutation(e).unwrap();
        let all = sampler.sample(e, sampler.len).unwrap();
        let images = sampler.len / 2;
        prop_assert_eq!(&sampler.sample(e, images).unwrap()[..], &all[..images]);
        prop_assert!(sampler.len < 10 || (all != permutation && all != sampler.sample(e + 1, sampler.len).unwrap()));
        let mut sorted = all;
        sorted.sort_unstable();
        prop_assert!(sorted.into_iter().eq(0..sampler.len));
    }

    #[test]
    fn micro_batches_are_the_same_at_any_world_size(sampler in samplers(), world_size in 2_usize..20) {
        let alone = epoch(&sampler, 1, 3);
        prop_assert_eq!(&epoch(&sampler, world_size, 3), &alone);
        for (number, micro_batch) in alone.iter().enumerate() {
            prop_assert_eq!(micro_batch.1, number);
            prop_assert!((1..=sampler.micro_batch_size).contains(&micro_batch.2.len()));
        }
    }

    #[test]
    fn only_the_last_step_is_short(sampler in samplers()) {
        let permutation = sampler.permutation(0).unwrap();
        for step in 0..sampler.steps_per_epoch() {
            let size = sampler.global_batch(&permutation, step).len();
            prop_assert!(size >= 1);
            if step + 1 < sampler.steps_per_epoch() || sampler.drop_last {
                prop_assert_eq!(size, sampler.global_batch_size);
            }
        }
    }

    #[test]
    fn shards_differ_by_at_most_one_and_come_in_order(count in 0_usize..10_000, world_size in 1_usize..100) {
        let ranges: Vec<_> = (0..world_size).map(|rank| Shard { rank, world_size }.range(count)).collect();
        let longest = ranges.iter().map(ExactSizeIterator::len).max();
        let shortest = ranges.iter().map(ExactSizeIterator::len).min();
        prop_assert!(longest.unwrap() - shortest.unwrap() <= 1);
        prop_assert!(ranges.into_iter().flatten().eq(0..count));
    }

    #[test]
    fn evaluation_counts_every_image_once(len in 0_usize..1000, batch in 1_usize..200, world_size in 1_usize..20) {
        let batches = |world_size| -> Vec<_> {
            let shards = (0..world_size).map(move |rank| Shard { rank, world_size });
            shards.flat_map(|shard| shard.evaluation_batches(len, batch)).collect()
        };
        prop_assert_eq!(batches(world_size), batches(1));
        prop_assert!(batches(world_size).into_iter().flatten().eq(0..len));
    }
}

#[test]
fn permutations_never_change() {
    let sampler = Sampler { len: 12, global_batch_size: 4, micro_batch_size: 2, seed: 0, drop_last: false };
    let check = |seed, epoch, expected: [usize; 12]| {
        assert_eq!(
            Sampler { seed, ..sampler }.permutation(epoch).unwrap(),
            expected,
            "seed {seed}, epoch {epoch}"
        );
    };
    check(0, 0, [10, 11, 5, 9, 8, 1, 6, 2, 7, 3, 4, 0]);
    check(0, 1, [6, 9, 11, 8, 3, 2, 5, 0, 1, 4, 10, 7]);
    check(1, 0, [3, 7, 0, 4, 9, 8, 2, 5, 11, 1, 6, 10]);
}

#[test]
fn a_short_last_batch_leaves_ranks_without_a_micro_batch() {
    let sampler = Sampler { len: 25, global_batch_size: 12, micro_batch_size: 4, seed: 5, drop_last: false };
    let permutation = sampler.permutation(0).unwrap();
    let counts = |step| -> Vec<usize> {
        let shards = (0..3).map(|rank| Shard { rank, world_size: 3 });
        shards.map(|shard| sampler.micro_batches(&permutation, step, shard).len()).collect()
    };
    assert_eq!(counts(0), [1, 1, 1]);
    assert_eq!(counts(2), [1, 0, 0]);
}

#[test]
fn fewer_images_than_a_batch_are_one_step_or_with_drop_last_none() {
    let sampler = Sampler { len: 3, global_batch_size: 8, micro_batch_size: 4, seed: 5, drop_last: false };
    assert_eq!(sampler.steps_per_epoch(), 1);
    assert_eq!(Sampler { drop_last: true, ..sampler }.steps_per_epoch(), 0);
}

#[test]
fn an_order_that_memory_does_not_hold_is_an_error() {
    let sampler =
        Sampler { len: 1 << 58, global_batch_size: 1, micro_batch_size: 1, seed: 1, drop_last: false };
    assert!(sampler.permutation(0).is_err());
}
