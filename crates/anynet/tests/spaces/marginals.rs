//! The laws of a space's parameters, as the networks that come out show them.

use std::collections::BTreeMap;

use regatta_anynet::space::distribution::LogUniformMultiples;
use regatta_anynet::space::{Space, draw_regnet_parameters};
use regatta_anynet::{Generator, Network, SplitMix64};

use crate::statistic::{check_continuous, check_law, log_uniform, uniform};
use crate::{networks, of_stages};

const NETWORKS: usize = 8_000;
const GROUP_WIDTHS: [i64; 6] = [1, 2, 4, 8, 16, 32];
const INVERSE_BOTTLENECKS: [i64; 3] = [1, 2, 4];

fn inverse_bottleneck(network: &Network, stage: usize) -> i64 {
    (1.0 / network.stages[stage].bottleneck_ratio) as i64
}

fn depth_law() -> BTreeMap<i64, f64> {
    (1..=16).map(|depth| (depth, LogUniformMultiples::new(1, 1, 16).probability(depth))).collect()
}

/// Every stage that can be drawn, adjusted as pycls does, with its likelihood: (width, group width).
fn adjusted_law() -> BTreeMap<(i64, i64), f64> {
    let widths = LogUniformMultiples::new(8, 8, 1024);
    let mut law = BTreeMap::new();
    for width in (8..=1024).step_by(8) {
        for inverse_bottleneck in INVERSE_BOTTLENECKS {
            for drawn_group in GROUP_WIDTHS {
                let bottleneck = width / inverse_bottleneck;
                let group = drawn_group.min(bottleneck);
                let groups = (bottleneck as f64 / group as f64).round_ties_even() as i64;
                let adjusted = (groups.max(1) * group * inverse_bottleneck, group);
                *law.entry(adjusted).or_default() += widths.probability(width) / 18.0;
            }
        }
    }
    law
}

#[test]
fn anynet_draws_each_parameter_by_its_law() {
    let networks = networks(Space::AnyNetXA, 11, NETWORKS);
    let stages = |value: fn(&regatta_anynet::Stage) -> (i64, i64)| {
        networks.iter().flat_map(move |network| of_stages(network, value)).collect::<Vec<_>>()
    };
    check_law("a depth", stages(|it| (it.depth, 0)).into_iter().map(|it| it.0), &depth_law());
    check_law("width and group", stages(|it| (it.width, it.group_width)), &adjusted_law());
    for stage in 0..4 {
        let drawn = networks.iter().map(|network| inverse_bottleneck(network, stage));
        check_law("an inverse bottleneck ratio", drawn, &uniform(&INVERSE_BOTTLENECKS));
    }
    let pairs = networks.iter().map(|it| (it.stages[0].depth, it.stages[3].depth));
    let law = depth_law();
    let independent = law.iter().flat_map(|(a, p)| law.iter().map(move |(b, q)| ((*a, *b), p * q))).collect();
    check_law("two depths", pairs, &independent);
}

/// Depths by rejection; those of sorted draws would fail.
#[test]
fn depths_in_order_keep_the_law_of_the_depths() {
    let law = depth_law();
    let mut profiles: BTreeMap<Vec<i64>, f64> = BTreeMap::from([(vec![], 1.0)]);
    for _ in 0..4 {
        let longer = profiles.into_iter().flat_map(|(profile, p)| {
            let least = profile.last().copied().unwrap_or(1);
            law.range(least..)
                .map(move |(depth, q)| ([&profile[..], &[*depth]].concat(), p * q))
                .collect::<Vec<_>>()
        });
        profiles = longer.collect();
    }
    let accepted: f64 = profiles.values().sum();
    profiles.values_mut().for_each(|p| *p /= accepted);
    let drawn = networks(Space::AnyNetXE, 12, NETWORKS);
    check_law("depths in order", drawn.iter().map(|it| of_stages(it, |stage| stage.depth)), &profiles);
}

/// A width that upsets the order is drawn again alone, and so favours no ratio.
#[test]
fn shared_bottlenecks_are_equally_likely_in_every_order() {
    for space in [Space::AnyNetXB, Space::AnyNetXD, Space::AnyNetXE, Space::VioWidths, Space::RegNetX] {
        let drawn = networks(space, 13, 3_000);
        let ratios = drawn.iter().map(|network| inverse_bottleneck(network, 0));
        check_law(&format!("an inverse bottleneck ratio of {space}"), ratios, &uniform(&INVERSE_BOTTLENECKS));
    }
}

#[test]
fn regnet_draws_each_parameter_by_its_law() {
    let mut random = SplitMix64::new(14);
    let drawn: Vec<Generator> = (0..20_000).map(|_| draw_regnet_parameters(&mut random, 0.25)).collect();
    let depths: Vec<i64> = (4..=63).collect();
    check_law("depth", drawn.iter().map(|it| it.depth), &uniform(&depths));
    let w0 = LogUniformMultiples::new(8, 8, 248);
    let w0_law = (8..=248).step_by(8).map(|width| (width, w0.probability(width))).collect();
    check_law("w0", drawn.iter().map(|it| it.w0), &w0_law);
    check_continuous("wa", drawn.iter().map(|it| it.wa).collect(), log_uniform(8.0, 256.0));
    check_continuous("wm", drawn.iter().map(|it| it.wm).collect(), log_uniform(1.5, 3.0));
    check_law("group width", drawn.iter().map(|it| it.group_width), &uniform(&GROUP_WIDTHS));
    let inverse = drawn.iter().map(|it| (1.0 / it.bottleneck_ratio) as i64);
    check_law("inverse bottleneck ratio", inverse, &uniform(&INVERSE_BOTTLENECKS));
    assert!(drawn.iter().all(|it| it.se_ratio == 0.25));
}
