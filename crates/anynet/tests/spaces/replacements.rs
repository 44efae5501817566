//! Networks with another block or stem than their space's, their parameters, and windows of depth.

use expect_test::{Expect, expect};
use regatta_anynet::space::{Drawn, Input, Limits, Sampler, Space, SpaceError};
use regatta_anynet::{BlockKind, Network, Rounding, Stage, Stem};

use crate::{CIFAR, of_stages};

const FASHION: Input = Input { channels: 1, classes: 10, side: 28 };

fn sampler(space: Space) -> Sampler {
    Sampler::new(space, CIFAR, Limits::default(), 11).expect("an input that every space takes")
}

fn convolutional() -> impl Iterator<Item = Space> {
    Space::ALL.into_iter().filter(|space| *space != Space::Mlp)
}

fn drawn(sampler: &Sampler, count: usize) -> Vec<Drawn> {
    (0..count as u64).map(|index| sampler.draw(index).expect("nothing is limited")).collect()
}

#[test]
fn a_draw_is_the_network_with_its_summary_and_its_generator() {
    for space in Space::ALL {
        let sampler = sampler(space);
        for (index, drawn) in drawn(&sampler, 20).into_iter().enumerate() {
            assert_eq!(Ok(&drawn.network), sampler.network(index as u64).as_ref());
            assert_eq!(drawn.summary, drawn.network.summary(1, 32, 32).unwrap());
            let is_regnet = matches!(space, Space::RegNetX | Space::RegNetY);
            assert_eq!(drawn.generator.is_some(), is_regnet, "{space}");
            if let Some(generator) = drawn.generator {
                assert_eq!(generator.stages(Rounding::Pycls).unwrap(), drawn.network.stages);
            }
        }
    }
}

#[test]
fn replaced_blocks_keep_depths_widths_and_strides() {
    for space in convolutional() {
        let originals = drawn(&sampler(space), 20);
        for block in [BlockKind::ResnetBasic, BlockKind::Vanilla] {
            let replaced = drawn(&sampler(space).with_block(block).expect("blocks of convolutions"), 20);
            for (original, replaced) in originals.iter().zip(&replaced) {
                let plain = |it: &Stage| Stage::plain(it.depth, it.width, it.stride);
                let stages = original.network.stages.iter().map(plain).collect();
                assert_eq!(replaced.network, Network { block, stages, ..original.network.clone() });
                assert_eq!(replaced.generator, original.generator);
            }
        }
        let same = drawn(&sampler(space).with_block(BlockKind::Resnext).expect("the space's blocks"), 20);
        assert_eq!(same, originals);
    }
}

#[test]
fn a_replaced_stem_leaves_the_body() {
    for space in convolutional() {
        let originals = drawn(&sampler(space), 10);
        for (stem, width) in [(Stem::Cifar, Some(16)), (Stem::Resnet, None), (Stem::Simple, Some(8))] {
            let replaced = drawn(&sampler(space).with_stem(stem, width).expect("a stem"), 10);
            for (original, replaced) in originals.iter().zip(replaced) {
                let stem_width = width.unwrap_or(32);
                assert_eq!(replaced.network, Network { stem, stem_width, ..original.network.clone() });
            }
        }
    }
}

#[test]
fn limits_apply_to_the_replaced_network() {
    let flops = 2_000_000..=20_000_000;
    let limits = Limits { flops: Some(flops.clone()), ..Limits::default() };
    let limited = Sampler::new(Space::AnyNetXE, FASHION, limits, 3).expect("a window");
    let replaced = limited.with_block(BlockKind::ResnetBasic).unwrap().with_stem(Stem::Cifar, Some(16));
    for drawn in drawn(&replaced.unwrap(), 10) {
        assert_eq!(drawn.network.block, BlockKind::ResnetBasic);
        assert!(flops.contains(&drawn.network.summary(1, 28, 28).unwrap().flops));
    }
}

#[test]
fn a_window_of_depth_counts_the_blocks_of_the_body() {
    for space in Space::ALL {
        let limits = Limits { depth: Some(8..=12), ..Limits::default() };
        let limited = Sampler::new(space, CIFAR, limits, 5).expect("a window");
        for drawn in drawn(&limited, 20) {
            let depth: i64 = of_stages(&drawn.network, |stage| stage.depth).iter().sum();
            assert!((8..=12).contains(&depth), "a network of {space} has {depth} blocks");
        }
    }
    let limits = Limits { depth: Some(1..=3), ..Limits::default() };
    let empty =
        Sampler::new(Space::AnyNetXA, CIFAR, limits, 5).and_then(|it| it.with_max_tries(1_000)?.draw(0));
    check_error(
        empty,
        expect![
            "no network of anynet_x_a has depth from 1 to 3 in 1,000 tries: those drawn had depth from 4 to 50 (none of them within)"
        ],
    );
    let limits = Limits { depth: Some(0..=0), ..Limits::default() };
    check_error(
        Sampler::new(Space::AnyNetXA, CIFAR, limits, 5),
        expect!["limits.depth is from 0 to 0, must reach above 0: no network has 0 blocks"],
    );
}

fn check_error<T: std::fmt::Debug>(result: Result<T, SpaceError>, expected: Expect) {
    expected.assert_eq(&result.expect_err("a refusal").to_string());
}

#[test]
fn impossible_replacements_are_refused() {
    let of = sampler;
    check_error(
        of(Space::RegNetX).with_block(BlockKind::Mlp),
        expect![
            "block is mlp, must be resnext, resnet_basic or vanilla: regnet_x has blocks of convolutions"
        ],
    );
    check_error(
        of(Space::Mlp).with_block(BlockKind::Resnext),
        expect!["block must be left out: the networks of mlp are fully connected"],
    );
    check_error(
        of(Space::Mlp).with_stem(Stem::Simple, None),
        expect!["stem must be left out: the networks of mlp are fully connected"],
    );
    check_error(
        of(Space::RegNetX).with_stem(Stem::Flatten, None),
        expect!["stem is flatten, must be simple, resnet or cifar: regnet_x has blocks of convolutions"],
    );
    check_error(
        of(Space::RegNetX).with_stem(Stem::Cifar, Some(0)),
        expect!["stem_width is 0, must be from 1 to 65536"],
    );
    check_error(
        of(Space::RegNetY).with_stem(Stem::Cifar, Some(1)),
        expect![
            "stages[0].se_ratio is 0.25, which squeezes 1 channels to none: widen what enters, raise it, or set it to 0"
        ],
    );
}

/// As many multiply-adds as a network has that trains in a minute on one core; a window of 20 % holds at least one network in
/// 80 of every space.
#[test]
fn every_space_has_networks_of_four_million_multiply_adds_at_28_px() {
    let flops = 3_600_000..=4_400_000;
    for (stem, width) in [(Stem::Simple, 32), (Stem::Simple, 16), (Stem::Cifar, 16)] {
        for space in convolutional() {
            let limits = Limits { flops: Some(flops.clone()), ..Limits::default() };
            let limited = Sampler::new(space, FASHION, limits, 1).and_then(|it| it.with_max_tries(800));
            let limited = limited.unwrap().with_stem(stem, Some(width)).unwrap();
            assert!(drawn(&limited, 10).iter().all(|it| flops.contains(&it.summary.flops)));
        }
    }
}
