//! Error messages for invalid descriptions.

use expect_test::{Expect, expect};
use regatta_anynet::{BlockKind, Generator, Network, NetworkError, Rounding, Stage, Stem, regnetx32};

fn check_network(change: impl FnOnce(&mut Network), expected: Expect) {
    let mut network = regnetx32(1, 10);
    change(&mut network);
    let error = network.validate().expect_err("an impossible network is refused");
    expected.assert_eq(&error.to_string());
    let summary_error = network.summary(1, 96, 96).expect_err("nor is it summarised");
    assert_eq!(summary_error.to_string(), error.to_string());
}

fn check_generator(change: impl FnOnce(&mut Generator), expected: Expect) {
    let mut generator = Generator {
        depth: 22,
        w0: 24,
        wa: 24.48,
        wm: 2.54,
        group_width: 16,
        bottleneck_ratio: 1.0,
        se_ratio: 0.0,
    };
    change(&mut generator);
    let error = generator.stages(Rounding::Pycls).expect_err("an impossible generator is refused");
    expected.assert_eq(&error.to_string());
}

#[test]
fn counts_out_of_range() {
    check_network(|network| network.in_channels = 0, expect!["in_channels is 0, must be from 1 to 65536"]);
    check_network(|network| network.stem_width = -32, expect!["stem_width is -32, must be from 1 to 65536"]);
    check_network(|network| network.classes = 0, expect!["classes is 0, must be from 1 to 10000000"]);
    check_network(
        |network| network.stages[0].depth = 0,
        expect!["stages[0].depth is 0, must be from 1 to 1000"],
    );
    check_network(
        |network| network.stages[1].depth = 1_001,
        expect!["stages[1].depth is 1001, must be from 1 to 1000"],
    );
    check_network(
        |network| network.stages[1].width = 65_537,
        expect!["stages[1].width is 65537, must be from 1 to 65536"],
    );
    check_network(
        |network| network.stages[1].stride = 0,
        expect!["stages[1].stride is 0, must be from 1 to 64"],
    );
    check_network(
        |network| network.stages[0].group_width = 0,
        expect!["stages[0].group_width is 0, must be from 1 to 65536"],
    );
    check_network(|network| network.stages.clear(), expect!["stages is empty, must hold at least one stage"]);
}

#[test]
fn bottlenecks_that_cannot_be_built() {
    check_network(
        |network| network.stages[0].bottleneck_ratio = 0.0,
        expect!["stages[0].bottleneck_ratio is 0.0, must be above 0 and at most 64"],
    );
    check_network(
        |network| network.stages[0].bottleneck_ratio = f64::NAN,
        expect!["stages[0].bottleneck_ratio is NaN, must be above 0 and at most 64"],
    );
    check_network(
        |network| network.stages[0].bottleneck_ratio = 0.01,
        expect![
            "stages[0].bottleneck_ratio is 0.01, which makes 0 channels of width 32, must make from 1 to 65536"
        ],
    );
    check_network(
        |network| network.stages[0].bottleneck_ratio = 1e300,
        expect!["stages[0].bottleneck_ratio is 1e300, must be above 0 and at most 64"],
    );
    check_network(
        |network| (network.stages[0].width, network.stages[0].bottleneck_ratio) = (4_096, 32.0),
        expect![
            "stages[0].bottleneck_ratio is 32.0, which makes 131072 channels of width 4096, must make from 1 to 65536"
        ],
    );
    check_network(
        |network| network.stages[1].group_width = 24,
        expect![
            "stages[1].group_width is 24, which does not divide the 80 channels of the 3x3 convolution (width 80 x bottleneck_ratio 1.0); the nearest smaller divisor is 20"
        ],
    );
    check_network(
        |network| network.stages[0].group_width = 64,
        expect![
            "stages[0].group_width is 64, which does not divide the 32 channels of the 3x3 convolution (width 32 x bottleneck_ratio 1.0); the nearest smaller divisor is 32"
        ],
    );
    check_network(
        |network| network.stages[1].bottleneck_ratio = 0.25,
        expect![
            "stages[1].group_width is 16, which does not divide the 20 channels of the 3x3 convolution (width 80 x bottleneck_ratio 0.25); the nearest smaller divisor is 10"
        ],
    );
}

#[test]
fn squeezes_to_nothing() {
    check_network(
        |network| network.stages[0].se_ratio = f64::INFINITY,
        expect!["stages[0].se_ratio is inf, must be 0, or above 0 and at most 64"],
    );
    // Of the 32 channels that enter the first block, and of the 80 that enter the others of the second stage.
    check_network(
        |network| network.stages[0].se_ratio = 0.01,
        expect![
            "stages[0].se_ratio is 0.01, which squeezes 32 channels to none: widen what enters, raise it, or set it to 0"
        ],
    );
    check_network(
        |network| network.stages[1].se_ratio = 0.01,
        expect![
            "stages[1].se_ratio is 0.01, which squeezes 32 channels to none: widen what enters, raise it, or set it to 0"
        ],
    );
}

#[test]
fn dropout_probabilities_out_of_range() {
    check_network(|network| network.dropout = 1.0, expect!["dropout is 1.0, must be at least 0 and below 1"]);
}

#[test]
fn stems_that_do_not_fit_the_blocks() {
    check_network(
        |network| network.stem = Stem::Flatten,
        expect![
            "stem is flatten, must be another stem: only mlp blocks take an image without height and width"
        ],
    );
    check_network(
        |network| network.block = BlockKind::Mlp,
        expect!["stem is simple, must be flatten, since mlp blocks are fully connected"],
    );
    check_network(
        |network| *network = mlp(1 << 25, 1),
        expect!["stem_width is 33554432, must be from 1 to 16777216"],
    );
}

#[test]
fn stage_settings_that_the_block_does_not_support() {
    let with = |block, change: fn(&mut Stage)| {
        move |network: &mut Network| {
            network.block = block;
            network.stages = vec![Stage::plain(1, 32, 2)];
            change(&mut network.stages[0]);
        }
    };
    check_network(
        with(BlockKind::ResnetBasic, |stage| stage.group_width = 16),
        expect!["stages[0].group_width is 16, but resnet_basic blocks have no groups: leave it out"],
    );
    check_network(
        with(BlockKind::Vanilla, |stage| stage.bottleneck_ratio = 0.5),
        expect!["stages[0].bottleneck_ratio is 0.5, but vanilla blocks have no bottleneck: leave it out"],
    );
    check_network(
        with(BlockKind::Vanilla, |stage| stage.se_ratio = 0.25),
        expect![
            "stages[0].se_ratio is 0.25, but vanilla blocks have no squeeze-and-excitation: leave it out"
        ],
    );
    check_network(
        |network| *network = mlp(96 * 96, 2),
        expect!["stages[0].stride is 2, must be 1, since mlp blocks see no pixels"],
    );
}

/// Ten features of an image's values.
fn mlp(values: i64, stride: i64) -> Network {
    let stages = vec![Stage::plain(1, 10, stride)];
    let (stem, block) = (Stem::Flatten, BlockKind::Mlp);
    Network { in_channels: 1, stem, stem_width: values, block, ..Network::of_stages(stages, 10) }
}

#[test]
fn images_of_another_size_than_a_flattening_stem() {
    let error = mlp(784, 1).summary(1, 96, 96).unwrap_err();
    expect!["stem_width is 784, must be 9216, the values of an image"].assert_eq(&error.to_string());
    assert_eq!(mlp(784, 1).summary(1, 28, 28).unwrap().params, 784 * 10 + 2 * 10 + 11 * 10);
}

#[test]
fn inputs_without_images_or_pixels() {
    let check = |(batch, height, width), expected: Expect| {
        let network = regnetx32(1, 10);
        let error: NetworkError = network.summary(batch, height, width).expect_err("nothing to look at");
        expected.assert_eq(&error.to_string());
        assert_eq!(network.block_shapes(batch, height, width), Err(error));
    };
    check((0, 96, 96), expect!["batch is 0, must be from 1 to 1000000"]);
    check((1, 0, 96), expect!["image height is 0, must be from 1 to 65536"]);
    check((1, 96, -1), expect!["image width is -1, must be from 1 to 65536"]);
}

#[test]
fn generators_out_of_range() {
    check_generator(|generator| generator.depth = 0, expect!["depth is 0, must be from 1 to 1000"]);
    check_generator(|generator| generator.w0 = 0, expect!["w0 is 0, must be from 1 to 65536"]);
    check_generator(|generator| generator.w0 = 30, expect!["w0 is 30, must be a multiple of 8 such as 24"]);
    check_generator(|generator| generator.w0 = 4, expect!["w0 is 4, must be a multiple of 8 such as 8"]);
    check_generator(
        |generator| generator.wa = -1.0,
        expect!["wa is -1.0, must be a finite number, 0 or above"],
    );
    check_generator(
        |generator| generator.wa = f64::INFINITY,
        expect!["wa is inf, must be a finite number, 0 or above"],
    );
    check_generator(|generator| generator.wm = 1.0, expect!["wm is 1.0, must be a finite number above 1"]);
    check_generator(
        |generator| generator.group_width = 0,
        expect!["group_width is 0, must be from 1 to 65536"],
    );
    check_generator(
        |generator| generator.bottleneck_ratio = 0.0,
        expect!["bottleneck_ratio is 0.0, must be above 0 and at most 1, or a whole number up to 64"],
    );
    check_generator(
        |generator| generator.bottleneck_ratio = 1.5,
        expect!["bottleneck_ratio is 1.5, must be above 0 and at most 1, or a whole number up to 64"],
    );
    check_generator(
        |generator| generator.se_ratio = -0.25,
        expect!["se_ratio is -0.25, must be 0, or above 0 and at most 64"],
    );
}

#[test]
fn generators_without_a_valid_width() {
    check_generator(
        |generator| generator.wa = 1e300,
        expect![
            "w0, wa, wm and bottleneck_ratio give stage 2 more than 65536 channels, must stay at or below that"
        ],
    );
    check_generator(
        |generator| generator.bottleneck_ratio = 1e-9,
        expect![
            "w0, wa, wm and bottleneck_ratio give stage 1 more than 65536 channels, must stay at or below that"
        ],
    );
    check_generator(
        |generator| generator.bottleneck_ratio = 0.9,
        expect![
            "bottleneck_ratio is 0.9, which fits no width of stage 1 (17 channels leave 15 in its 3x3 convolution, not a multiple of group width 16); 0.25, 0.5 and whole numbers fit"
        ],
    );
}
