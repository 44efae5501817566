//! Networks that must stay the same on every platform and in every version: recipes name them by seed and index.

use expect_test::{Expect, expect};
use regatta_anynet::Network;
use regatta_anynet::space::Space;

use crate::{networks, of_stages};

/// Depths, widths, group widths and inverse bottleneck ratios of the stages.
fn line(network: &Network) -> String {
    let depths = of_stages(network, |stage| stage.depth);
    let widths = of_stages(network, |stage| stage.width);
    let group_widths = of_stages(network, |stage| stage.group_width);
    let inverse_bottlenecks = of_stages(network, |stage| 1.0 / stage.bottleneck_ratio);
    format!("d {depths:?} w {widths:?} g {group_widths:?} b {inverse_bottlenecks:?}")
}

fn check(space: Space, seed: u64, expected: Expect) {
    let lines: Vec<String> = networks(space, seed, 3).iter().map(line).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn anynets() {
    check(
        Space::AnyNetXA,
        1,
        expect![[r#"
        d [3, 1, 2, 5] w [8, 56, 40, 792] g [2, 2, 4, 2] b [4.0, 2.0, 1.0, 4.0]
        d [1, 4, 1, 13] w [264, 64, 32, 832] g [2, 16, 16, 16] b [4.0, 2.0, 2.0, 2.0]
        d [1, 2, 1, 11] w [8, 8, 40, 672] g [8, 4, 4, 8] b [1.0, 2.0, 2.0, 4.0]"#]],
    );
    check(
        Space::AnyNetXB,
        1,
        expect![[r#"
        d [2, 2, 2, 3] w [16, 40, 192, 8] g [4, 1, 16, 2] b [4.0, 4.0, 4.0, 4.0]
        d [7, 16, 8, 1] w [96, 8, 736, 264] g [4, 2, 4, 2] b [4.0, 4.0, 4.0, 4.0]
        d [8, 3, 5, 1] w [32, 8, 512, 8] g [4, 4, 32, 8] b [1.0, 1.0, 1.0, 1.0]"#]],
    );
    check(
        Space::AnyNetXC,
        1,
        expect![[r#"
        d [1, 8, 8, 2] w [32, 32, 64, 16] g [8, 8, 8, 4] b [4.0, 4.0, 4.0, 4.0]
        d [3, 2, 2, 7] w [960, 320, 8, 96] g [4, 4, 2, 4] b [4.0, 4.0, 4.0, 4.0]
        d [4, 15, 13, 8] w [64, 136, 16, 32] g [4, 4, 4, 4] b [1.0, 1.0, 1.0, 1.0]"#]],
    );
    check(
        Space::AnyNetXD,
        1,
        expect![[r#"
        d [1, 8, 8, 2] w [16, 224, 480, 512] g [4, 8, 8, 8] b [4.0, 4.0, 4.0, 4.0]
        d [3, 2, 2, 7] w [8, 16, 32, 256] g [2, 4, 4, 4] b [4.0, 4.0, 4.0, 4.0]
        d [4, 15, 13, 8] w [8, 48, 64, 176] g [4, 4, 4, 4] b [1.0, 1.0, 1.0, 1.0]"#]],
    );
    check(
        Space::AnyNetXE,
        1,
        expect![[r#"
        d [1, 6, 10, 11] w [8, 16, 32, 384] g [2, 4, 8, 8] b [4.0, 4.0, 4.0, 4.0]
        d [1, 1, 2, 7] w [32, 128, 192, 208] g [4, 4, 4, 4] b [4.0, 4.0, 4.0, 4.0]
        d [1, 4, 8, 8] w [8, 48, 64, 176] g [4, 4, 4, 4] b [1.0, 1.0, 1.0, 1.0]"#]],
    );
    check(
        Space::AnyNetXA,
        u64::MAX,
        expect![[r#"
        d [13, 4, 15, 5] w [696, 24, 96, 328] g [2, 2, 4, 4] b [1.0, 2.0, 4.0, 1.0]
        d [15, 6, 5, 1] w [8, 96, 768, 896] g [4, 1, 16, 32] b [2.0, 1.0, 4.0, 2.0]
        d [11, 1, 5, 2] w [384, 64, 8, 808] g [16, 2, 4, 2] b [1.0, 2.0, 2.0, 2.0]"#]],
    );
}

#[test]
fn regnets() {
    check(
        Space::RegNetX,
        1,
        expect![[r#"
        d [3, 10, 24, 18] w [64, 144, 352, 896] g [16, 16, 16, 16] b [1.0, 1.0, 1.0, 1.0]
        d [2, 5, 16, 24] w [40, 120, 344, 992] g [2, 2, 2, 2] b [1.0, 1.0, 1.0, 1.0]
        d [1, 2, 5, 2] w [24, 72, 256, 640] g [6, 18, 32, 32] b [4.0, 4.0, 4.0, 4.0]"#]],
    );
    check(
        Space::RegNetX,
        2,
        expect![[r#"
        d [1, 2, 4, 4] w [192, 384, 640, 1024] g [16, 16, 16, 16] b [4.0, 4.0, 4.0, 4.0]
        d [2, 4, 9, 13] w [48, 96, 192, 368] g [4, 4, 4, 4] b [4.0, 4.0, 4.0, 4.0]
        d [2, 5, 10, 3] w [128, 256, 496, 960] g [4, 4, 4, 4] b [4.0, 4.0, 4.0, 4.0]"#]],
    );
    check(
        Space::RegNetY,
        1,
        expect![[r#"
        d [3, 10, 24, 18] w [64, 144, 352, 896] g [16, 16, 16, 16] b [1.0, 1.0, 1.0, 1.0]
        d [2, 5, 16, 24] w [40, 120, 344, 992] g [2, 2, 2, 2] b [1.0, 1.0, 1.0, 1.0]
        d [1, 2, 5, 2] w [24, 72, 256, 640] g [6, 18, 32, 32] b [4.0, 4.0, 4.0, 4.0]"#]],
    );
}

#[test]
fn violations() {
    check(
        Space::VioWidths,
        1,
        expect![[r#"
        d [1, 6, 10, 11] w [320, 128, 64, 8] g [8, 8, 8, 2] b [4.0, 4.0, 4.0, 4.0]
        d [1, 1, 2, 7] w [64, 64, 32, 16] g [4, 4, 4, 4] b [4.0, 4.0, 4.0, 4.0]
        d [1, 4, 8, 8] w [824, 528, 24, 24] g [4, 4, 4, 4] b [1.0, 1.0, 1.0, 1.0]"#]],
    );
    check(
        Space::VioDepths,
        1,
        expect![[r#"
        d [7, 3, 1, 1] w [64, 64, 64, 64] g [8, 8, 8, 8] b [4.0, 4.0, 4.0, 4.0]
        d [14, 10, 9, 9] w [8, 16, 32, 256] g [2, 4, 4, 4] b [4.0, 4.0, 4.0, 4.0]
        d [14, 11, 2, 2] w [8, 48, 64, 176] g [4, 4, 4, 4] b [1.0, 1.0, 1.0, 1.0]"#]],
    );
    check(
        Space::VioGroups,
        1,
        expect![[r#"
        d [2, 2, 2, 3] w [32, 176, 576, 832] g [8, 1, 16, 16] b [4.0, 4.0, 4.0, 4.0]
        d [1, 2, 5, 6] w [208, 224, 272, 432] g [4, 4, 4, 2] b [4.0, 4.0, 4.0, 4.0]
        d [1, 7, 7, 12] w [32, 120, 448, 544] g [4, 4, 32, 32] b [1.0, 1.0, 1.0, 1.0]"#]],
    );
    check(
        Space::VioBottlenecks,
        1,
        expect![[r#"
        d [2, 2, 2, 3] w [40, 192, 576, 832] g [10, 16, 16, 16] b [4.0, 2.0, 1.0, 4.0]
        d [1, 2, 5, 6] w [208, 232, 272, 432] g [2, 2, 2, 2] b [4.0, 2.0, 2.0, 2.0]
        d [1, 7, 7, 12] w [32, 128, 256, 256] g [32, 32, 32, 32] b [1.0, 2.0, 2.0, 4.0]"#]],
    );
}

#[test]
fn fully_connected() {
    check(
        Space::Mlp,
        1,
        expect![[r#"
        d [3, 2, 1, 3] w [296, 32, 40, 32] g [296, 32, 40, 32] b [1.0, 1.0, 1.0, 1.0]
        d [4, 1, 2, 1] w [32, 248, 960, 312] g [32, 248, 960, 312] b [1.0, 1.0, 1.0, 1.0]
        d [1, 1, 2, 4] w [680, 288, 64, 136] g [680, 288, 64, 136] b [1.0, 1.0, 1.0, 1.0]"#]],
    );
}
