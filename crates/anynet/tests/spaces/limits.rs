//! Windows of complexity: kept, or refused with what would be right.

use expect_test::{Expect, expect};
use regatta_anynet::space::{Input, Limits, Sampler, Space, SpaceError};

use crate::{CIFAR, IMAGENET};

/// The paper's regime: 360 to 400 million multiply-adds.
fn paper() -> Limits {
    Limits { flops: Some(360_000_000..=400_000_000), ..Limits::default() }
}

#[test]
fn every_space_has_networks_of_the_papers_regime() {
    // Fully connected ones have hundreds of millions of weights at this size; they are limited below.
    for space in Space::ALL.into_iter().filter(|space| *space != Space::Mlp) {
        let sampler = Sampler::new(space, IMAGENET, paper(), 1).expect("a window");
        for (index, network) in sampler.networks().take(3).enumerate() {
            let network = network.expect("a network within the limits");
            let flops = network.summary(1, 224, 224).unwrap().flops;
            assert!((360_000_000..=400_000_000).contains(&flops), "network {index} of {space} has {flops}");
        }
    }
}

#[test]
fn all_windows_hold_at_once() {
    let limits = Limits {
        flops: Some(0..=3_000_000),
        params: Some(1_000_000..=2_000_000),
        activations: Some(1_000..=2_000),
        ..Limits::default()
    };
    let sampler = Sampler::new(Space::Mlp, CIFAR, limits, 1).expect("windows");
    for network in sampler.networks().take(20) {
        let summary = network.expect("a network within the limits").summary(1, 32, 32).unwrap();
        assert!(summary.flops <= 3_000_000);
        assert!((1_000_000..=2_000_000).contains(&summary.params));
        assert!((1_000..=2_000).contains(&summary.activations));
    }
}

/// Limits reject; they do not change what is drawn.
#[test]
fn a_limited_network_is_one_of_the_unlimited_stream() {
    let wide = Limits { flops: Some(0..=u64::MAX), ..Limits::default() };
    let limited = Sampler::new(Space::AnyNetXA, CIFAR, wide, 7).expect("a window");
    let free = Sampler::new(Space::AnyNetXA, CIFAR, Limits::default(), 7).expect("no window");
    for index in 0..50 {
        assert_eq!(limited.network(index), free.network(index));
    }
}

#[test]
fn the_ends_of_a_window_belong_to_it() {
    let free = Sampler::new(Space::AnyNetXA, CIFAR, Limits::default(), 7).expect("no window");
    let network = free.network(0).expect("nothing is limited");
    let flops = network.summary(1, 32, 32).unwrap().flops;
    let at = |window| {
        let limits = Limits { flops: Some(window), ..Limits::default() };
        Sampler::new(Space::AnyNetXA, CIFAR, limits, 7)?.with_max_tries(1)?.network(0)
    };
    assert_eq!(at(flops..=flops), Ok(network));
    assert!(matches!(at(flops + 1..=u64::MAX), Err(SpaceError::EmptyWindow { .. })));
    assert!(matches!(at(0..=flops - 1), Err(SpaceError::EmptyWindow { .. })));
}

fn check_empty(limits: Limits, expected: Expect) {
    let sampler = Sampler::new(Space::AnyNetXA, CIFAR, limits, 1).and_then(|it| it.with_max_tries(1_000));
    let error = sampler.expect("windows").network(0).expect_err("an empty window");
    expected.assert_eq(&error.to_string());
}

#[test]
fn an_empty_window_is_reported_with_the_ranges_seen() {
    check_empty(
        Limits { flops: Some(1..=2), ..Limits::default() },
        expect![
            "no network of anynet_x_a has flops from 1 to 2 in 1,000 tries: those drawn had flops from 297,272 to 1,546,706,250 (none of them within)"
        ],
    );
    let limits =
        Limits { params: Some(1_000_000..=2_000_000), activations: Some(1..=2_000), ..Limits::default() };
    check_empty(
        limits,
        expect![
            "no network of anynet_x_a has params from 1,000,000 to 2,000,000 and activations from 1 to 2,000 in 1,000 tries: those drawn had params from 5,318 to 51,902,826 (173 of them within) and activations from 12,898 to 2,957,786 (none of them within)"
        ],
    );
}

fn check_refused(input: Input, limits: Limits, expected: Expect) {
    let error = Sampler::new(Space::Mlp, input, limits, 1).expect_err("an impossible sampler");
    expected.assert_eq(&error.to_string());
}

#[test]
fn impossible_limits_and_inputs_are_refused() {
    // As a recipe's two numbers may make it.
    let inverted = std::ops::RangeInclusive::new(400, 360);
    check_refused(
        CIFAR,
        Limits { flops: Some(inverted), ..Limits::default() },
        expect!["limits.flops is from 400 to 360, must be from the smaller to the larger: from 360 to 400"],
    );
    check_refused(
        CIFAR,
        Limits { activations: Some(0..=0), ..Limits::default() },
        expect!["limits.activations is from 0 to 0, must reach above 0: no network has 0 activations"],
    );
    check_refused(
        Input { channels: 0, ..CIFAR },
        Limits::default(),
        expect!["in_channels is 0, must be from 1 to 65536"],
    );
    check_refused(
        Input { classes: -1, ..CIFAR },
        Limits::default(),
        expect!["classes is -1, must be from 1 to 10000000"],
    );
    check_refused(
        Input { side: 0, ..CIFAR },
        Limits::default(),
        expect!["image side is 0, must be from 1 to 65536"],
    );
    check_refused(
        Input { side: i64::MAX, ..CIFAR },
        Limits::default(),
        expect!["image side is 9223372036854775807, must be from 1 to 65536"],
    );
    let sampler = Sampler::new(Space::Mlp, CIFAR, Limits::default(), 1).expect("no window");
    expect!["max_tries is 0, must be at least 1"]
        .assert_eq(&sampler.with_max_tries(0).expect_err("no try").to_string());
}
