//! Random numbers are those of the reference code, for ever, and unbiased.

use proptest::prelude::*;
use regatta_random::SplitMix64;

#[test]
fn splitmix64_gives_the_numbers_of_the_reference_code() {
    let mut random = SplitMix64::new(1234567);
    let numbers: Vec<u64> = (0..5).map(|_| random.next_u64()).collect();
    assert_eq!(
        numbers,
        [
            6457827717110365317,
            3203168211198807973,
            9817491932198370423,
            4593380528125082431,
            16408922859458223821
        ]
    );
}

#[test]
fn every_order_of_four_items_is_about_as_likely() {
    let mut random = SplitMix64::new(7);
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..24_000 {
        let mut items = [0, 1, 2, 3];
        random.shuffle(&mut items);
        *counts.entry(items).or_insert(0_i32) += 1;
    }
    assert_eq!(counts.len(), 24);
    // Six standard deviations of a count with mean 1000.
    assert!(counts.values().all(|count| (count - 1000).abs() < 186), "{counts:?}");
}

#[test]
fn filling_does_not_depend_on_where_the_buffer_ends() {
    let (mut long, mut short) = ([0; 16], [0; 13]);
    SplitMix64::new(1).fill(&mut long);
    SplitMix64::new(1).fill(&mut short);
    assert_eq!(long[..13], short);
}

proptest! {
    #[test]
    fn bounded_numbers_stay_within_their_bounds(seed: u64, bound in 1_u64..) {
        let mut random = SplitMix64::new(seed);
        prop_assert!(random.below(bound) < bound);
        let unit = random.unit();
        prop_assert!((0.0..1.0).contains(&unit));
    }
}
