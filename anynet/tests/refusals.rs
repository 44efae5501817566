//! Impossible descriptions and what is said about them.

use expect_test::{Expect, expect};
use regatta_anynet::{Generator, Network, NetworkError, Rounding, regnetx32};

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
        rounding: Rounding::Pycls,
    };
    change(&mut generator);
    let error = generator.stages().expect_err("an impossible generator is refused");
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
}

#[test]
fn generators_without_a_buildable_width() {
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
