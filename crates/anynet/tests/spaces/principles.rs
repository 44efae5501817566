//! Thousands of networks of each space: what it shares and orders, and that it can be built.

use std::collections::BTreeSet;

use regatta_anynet::space::{Limits, Sampler, Space, SpaceError};
use regatta_anynet::{BlockKind, Network, Stem};

use crate::{CIFAR, IMAGENET, networks, of_stages};

const SEEDS: u64 = 2_000;
const NETWORKS: usize = 2;

fn check_each(space: Space, promise: impl Fn(&Network) -> bool) {
    for seed in 0..SEEDS {
        for (index, network) in networks(space, seed, NETWORKS).into_iter().enumerate() {
            assert_eq!(network.validate(), Ok(()), "network {index} of {space}, seed {seed}");
            assert!(promise(&network), "network {index} of {space}, seed {seed}: {network:#?}");
        }
    }
}

/// Some network does what none of a smaller space may.
fn check_some(space: Space, freedom: impl Fn(&Network) -> bool) {
    assert!(networks(space, 0, 200).iter().any(freedom), "no network of {space} uses its freedom");
}

fn is_anynet(network: &Network) -> bool {
    let has_stem = network.stem == Stem::Simple && network.stem_width == 32;
    let body = network.block == BlockKind::Resnext && network.stages.len() == 4;
    let stages = network.stages.iter().all(|stage| {
        (1..=16).contains(&stage.depth)
            && (8..=1024).contains(&stage.width)
            && stage.stride == 2
            && [1, 2, 4, 8, 16, 32]
                .iter()
                .any(|group| *group.min(&stage.bottleneck_width()) == stage.group_width)
            && [1.0, 0.5, 0.25].contains(&stage.bottleneck_ratio)
            && stage.se_ratio == 0.0
    });
    has_stem && body && stages
}

fn shares_bottleneck(network: &Network) -> bool {
    network.stages.iter().all(|stage| stage.bottleneck_ratio == network.stages[0].bottleneck_ratio)
}

/// Tried for each group width there is, unlike the space's own check.
fn shares_group(network: &Network) -> bool {
    let explains =
        |group: i64| network.stages.iter().all(|it| it.group_width == group.min(it.bottleneck_width()));
    [1, 2, 4, 8, 16, 32].into_iter().any(explains)
}

fn widths_do_not_decrease(network: &Network) -> bool {
    of_stages(network, |stage| stage.width).is_sorted()
}

fn depths_do_not_decrease(network: &Network) -> bool {
    of_stages(network, |stage| stage.depth).is_sorted()
}

fn decrease(mut values: Vec<i64>) -> bool {
    values.reverse();
    values.is_sorted() && values.first() < values.last()
}

#[test]
fn each_anynet_space_adds_one_constraint() {
    let b = |it: &Network| is_anynet(it) && shares_bottleneck(it);
    let c = |it: &Network| b(it) && shares_group(it);
    let d = |it: &Network| c(it) && widths_do_not_decrease(it);
    let e = |it: &Network| d(it) && depths_do_not_decrease(it);
    check_each(Space::AnyNetXA, is_anynet);
    check_each(Space::AnyNetXB, b);
    check_each(Space::AnyNetXC, c);
    check_each(Space::AnyNetXD, d);
    check_each(Space::AnyNetXE, e);
    check_some(Space::AnyNetXA, |it| !shares_bottleneck(it));
    check_some(Space::AnyNetXB, |it| !shares_group(it));
    check_some(Space::AnyNetXC, |it| !widths_do_not_decrease(it));
    check_some(Space::AnyNetXD, |it| !depths_do_not_decrease(it));
}

#[test]
fn each_violation_is_of_one_principle() {
    let blocks = |it: &Network| is_anynet(it) && shares_bottleneck(it) && shares_group(it);
    let profile = |it: &Network| is_anynet(it) && widths_do_not_decrease(it) && depths_do_not_decrease(it);
    check_each(Space::VioWidths, |it| {
        blocks(it) && depths_do_not_decrease(it) && decrease(of_stages(it, |stage| stage.width))
    });
    check_each(Space::VioDepths, |it| {
        blocks(it) && widths_do_not_decrease(it) && decrease(of_stages(it, |stage| stage.depth))
    });
    check_each(Space::VioGroups, |it| profile(it) && shares_bottleneck(it) && !shares_group(it));
    // A group width is shared as drawn; 1/b of each stage cuts it down.
    check_each(Space::VioBottlenecks, |it| profile(it) && shares_group(it) && !shares_bottleneck(it));
}

fn is_regnet(network: &Network, se_ratio: f64) -> bool {
    let depth: i64 = of_stages(network, |stage| stage.depth).iter().sum();
    let has_ratio = network.stages.iter().all(|stage| stage.se_ratio == se_ratio && stage.stride == 2);
    let shares = shares_bottleneck(network) && shares_group(network);
    network.stages.len() == 4
        && (4..64).contains(&depth)
        && has_ratio
        && shares
        && widths_do_not_decrease(network)
}

#[test]
fn regnets_have_four_stages_of_one_rule() {
    check_each(Space::RegNetX, |it| is_regnet(it, 0.0));
    check_each(Space::RegNetY, |it| is_regnet(it, 0.25));
}

#[test]
fn fully_connected_networks_take_the_image_as_a_vector() {
    check_each(Space::Mlp, |it| {
        it.stem == Stem::Flatten
            && it.stem_width == 3 * 32 * 32
            && it.block == BlockKind::Mlp
            && it.stages.len() == 4
            && it.stages.iter().all(|stage| (1..=4).contains(&stage.depth) && stage.width % 8 == 0)
    });
    check_some(Space::Mlp, |it| !widths_do_not_decrease(it) && !depths_do_not_decrease(it));
}

#[test]
fn a_network_depends_on_seed_and_index_alone() {
    for space in Space::ALL {
        let sampler =
            Sampler::new(space, CIFAR, Limits::default(), 3).expect("an input that every space takes");
        let in_order = networks(space, 3, 50);
        for (index, network) in in_order.iter().enumerate().rev() {
            assert_eq!(sampler.network(index as u64).as_ref(), Ok(network), "network {index} of {space}");
        }
        let differing: BTreeSet<String> = in_order.iter().map(|network| format!("{network:?}")).collect();
        assert!(differing.len() > 45, "{} networks of 50 of {space} differ", differing.len());
        assert_ne!(networks(space, 4, 50), in_order, "another seed of {space}");
    }
}

#[test]
fn networks_have_the_channels_and_classes_of_the_input() {
    for space in Space::ALL {
        let sampler =
            Sampler::new(space, IMAGENET, Limits::default(), 0).expect("an input that every space takes");
        let network = sampler.network(0).expect("nothing is limited");
        assert_eq!((network.in_channels, network.classes), (3, 1000), "{space}");
        assert!(network.summary(1, 224, 224).is_ok(), "{space}");
    }
}

#[test]
fn spaces_are_spelled_one_way() {
    let spellings = [
        "anynet_x_a",
        "anynet_x_b",
        "anynet_x_c",
        "anynet_x_d",
        "anynet_x_e",
        "regnet_x",
        "regnet_y",
        "vio_widths",
        "vio_depths",
        "vio_groups",
        "vio_bottlenecks",
        "mlp",
    ];
    assert_eq!(Space::ALL.map(Space::name), spellings);
    for space in Space::ALL {
        assert_eq!(space.name().parse(), Ok(space));
        assert_eq!(serde_json::to_value(space).unwrap(), space.name());
        assert_eq!(serde_json::from_value::<Space>(space.name().into()).unwrap(), space);
    }
    let unknown = "resnet".parse::<Space>().unwrap_err();
    assert_eq!(unknown, SpaceError::UnknownSpace { name: "resnet".into() });
    assert_eq!(
        unknown.to_string(),
        "space is \"resnet\", must be one of anynet_x_a, anynet_x_b, anynet_x_c, anynet_x_d, anynet_x_e, regnet_x, \
         regnet_y, vio_widths, vio_depths, vio_groups, vio_bottlenecks, mlp"
    );
}
