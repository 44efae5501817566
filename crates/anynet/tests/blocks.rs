//! What blocks and stems are made of.

use expect_test::{Expect, expect};
use regatta_anynet::{BlockKind, Network, Shortcut, Stage, Stem, regnetx32};

#[test]
fn a_block_projects_where_width_or_stride_changes() {
    let projecting = |network: &Network| -> Vec<String> {
        let blocks = network.blocks().into_iter();
        blocks.filter(|block| block.projection().is_some()).map(|block| block.name).collect()
    };
    let mut network = regnetx32(1, 10);
    assert_eq!(network.blocks().len(), 11);
    assert_eq!(projecting(&network), ["s1.b1", "s2.b1"]);
    network.stages[0].stride = 1;
    assert_eq!(projecting(&network), ["s2.b1"], "32 channels enter and leave s1.b1 at stride 1");
    assert_eq!(network.blocks()[1].shortcut, Shortcut::Identity);
}

/// The table but for its header and totals.
fn check(network: &Network, side: i64, expected: Expect) {
    let table = network.summary(1, side, side).unwrap().to_table();
    expected.assert_eq(
        &table
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with("--"))
            .fold(String::new(), |text, line| text + line + "\n"),
    );
}

#[test]
fn x_and_y_blocks() {
    let stage = Stage { group_width: 4, bottleneck_ratio: 0.5, se_ratio: 0.25, ..Stage::plain(1, 16, 2) };
    let network = Network { stem_width: 8, ..Network::of_stages(vec![stage], 10) };
    check(
        &network,
        32,
        expect![[r#"
        stem.conv            conv        1x8x16x16           216         55,296        2,048
        stem.bn              batch_norm  1x8x16x16            16              0            0
        stem.af              relu        1x8x16x16             0              0            0
        s1.b1.f.a            conv        1x8x16x16            64         16,384        2,048
        s1.b1.f.a_bn         batch_norm  1x8x16x16            16              0            0
        s1.b1.f.a_af         relu        1x8x16x16             0              0            0
        s1.b1.f.b            conv        1x8x8x8             288         18,432          512
        s1.b1.f.b_bn         batch_norm  1x8x8x8              16              0            0
        s1.b1.f.b_af         relu        1x8x8x8               0              0            0
        s1.b1.f.se.avg_pool  mean_pool   1x8x1x1               0              0            0
        s1.b1.f.se.f_ex.0    conv        1x2x1x1              18             18            2
        s1.b1.f.se.f_ex.1    relu        1x2x1x1               0              0            0
        s1.b1.f.se.f_ex.2    conv        1x8x1x1              24             24            8
        s1.b1.f.se.f_ex.3    sigmoid     1x8x1x1               0              0            0
        s1.b1.f.se.scale     scale       1x8x8x8               0              0            0
        s1.b1.f.c            conv        1x16x8x8            128          8,192        1,024
        s1.b1.f.c_bn         batch_norm  1x16x8x8             32              0            0
        s1.b1.proj           conv        1x16x8x8            128          8,192        1,024
        s1.b1.bn             batch_norm  1x16x8x8             32              0            0
        s1.b1.add            add         1x16x8x8              0              0            0
        s1.b1.af             relu        1x16x8x8              0              0            0
        head.avg_pool        mean_pool   1x16                  0              0            0
        head.fc              linear      1x10                170            170           10
    "#]],
    );
}

#[test]
fn basic_blocks() {
    let stages = vec![Stage::plain(1, 8, 1), Stage::plain(1, 16, 2)];
    let block = BlockKind::ResnetBasic;
    let network =
        Network { block, stem: Stem::Cifar, stem_width: 8, dropout: 0.2, ..Network::of_stages(stages, 10) };
    check(
        &network,
        32,
        expect![[r#"
        stem.conv      conv        1x8x32x32           216        221,184        8,192
        stem.bn        batch_norm  1x8x32x32            16              0            0
        stem.af        relu        1x8x32x32             0              0            0
        s1.b1.f.a      conv        1x8x32x32           576        589,824        8,192
        s1.b1.f.a_bn   batch_norm  1x8x32x32            16              0            0
        s1.b1.f.a_af   relu        1x8x32x32             0              0            0
        s1.b1.f.b      conv        1x8x32x32           576        589,824        8,192
        s1.b1.f.b_bn   batch_norm  1x8x32x32            16              0            0
        s1.b1.add      add         1x8x32x32             0              0            0
        s1.b1.af       relu        1x8x32x32             0              0            0
        s2.b1.f.a      conv        1x16x16x16        1,152        294,912        4,096
        s2.b1.f.a_bn   batch_norm  1x16x16x16           32              0            0
        s2.b1.f.a_af   relu        1x16x16x16            0              0            0
        s2.b1.f.b      conv        1x16x16x16        2,304        589,824        4,096
        s2.b1.f.b_bn   batch_norm  1x16x16x16           32              0            0
        s2.b1.proj     conv        1x16x16x16          128         32,768        4,096
        s2.b1.bn       batch_norm  1x16x16x16           32              0            0
        s2.b1.add      add         1x16x16x16            0              0            0
        s2.b1.af       relu        1x16x16x16            0              0            0
        head.avg_pool  mean_pool   1x16                  0              0            0
        head.dropout   dropout     1x16                  0              0            0
        head.fc        linear      1x10                170            170           10
    "#]],
    );
}

#[test]
fn vanilla_blocks() {
    let stages = vec![Stage::plain(2, 8, 2)];
    let (block, stem) = (BlockKind::Vanilla, Stem::Resnet);
    let network = Network { block, stem, stem_width: 8, ..Network::of_stages(stages, 10) };
    check(
        &network,
        32,
        expect![[r#"
        stem.conv      conv        1x8x16x16         1,176        301,056        2,048
        stem.bn        batch_norm  1x8x16x16            16              0            0
        stem.af        relu        1x8x16x16             0              0            0
        stem.pool      max_pool    1x8x8x8               0              0            0
        s1.b1.a        conv        1x8x4x4             576          9,216          128
        s1.b1.a_bn     batch_norm  1x8x4x4              16              0            0
        s1.b1.a_af     relu        1x8x4x4               0              0            0
        s1.b1.b        conv        1x8x4x4             576          9,216          128
        s1.b1.b_bn     batch_norm  1x8x4x4              16              0            0
        s1.b1.b_af     relu        1x8x4x4               0              0            0
        s1.b2.a        conv        1x8x4x4             576          9,216          128
        s1.b2.a_bn     batch_norm  1x8x4x4              16              0            0
        s1.b2.a_af     relu        1x8x4x4               0              0            0
        s1.b2.b        conv        1x8x4x4             576          9,216          128
        s1.b2.b_bn     batch_norm  1x8x4x4              16              0            0
        s1.b2.b_af     relu        1x8x4x4               0              0            0
        head.avg_pool  mean_pool   1x8                   0              0            0
        head.fc        linear      1x10                 90             90           10
    "#]],
    );
}

#[test]
fn fully_connected_blocks() {
    let stages = vec![Stage::plain(2, 64, 1), Stage::plain(1, 32, 1)];
    let (block, stem) = (BlockKind::Mlp, Stem::Flatten);
    let network = Network { in_channels: 1, block, stem, stem_width: 784, ..Network::of_stages(stages, 10) };
    check(
        &network,
        28,
        expect![[r#"
        stem.flatten   flatten     1x784x1x1             0              0            0
        s1.b1.a        conv        1x64x1x1         50,176         50,176           64
        s1.b1.a_bn     batch_norm  1x64x1x1            128              0            0
        s1.b1.a_af     relu        1x64x1x1              0              0            0
        s1.b2.a        conv        1x64x1x1          4,096          4,096           64
        s1.b2.a_bn     batch_norm  1x64x1x1            128              0            0
        s1.b2.a_af     relu        1x64x1x1              0              0            0
        s2.b1.a        conv        1x32x1x1          2,048          2,048           32
        s2.b1.a_bn     batch_norm  1x32x1x1             64              0            0
        s2.b1.a_af     relu        1x32x1x1              0              0            0
        head.avg_pool  mean_pool   1x32                  0              0            0
        head.fc        linear      1x10                330            330           10
    "#]],
    );
    assert_eq!(network.smallest_map(28, 28), (1, 1));
}

/// Names and numbers of parameters stand in two lists, the layers and the tensors; both say the same.
#[test]
fn tensors_and_layers_have_the_same_parameters() {
    for block in [BlockKind::Resnext, BlockKind::ResnetBasic, BlockKind::Vanilla] {
        for (stem, conv_bias) in [(Stem::Simple, false), (Stem::Resnet, true), (Stem::Cifar, false)] {
            let mut stages = vec![Stage::plain(2, 24, 1), Stage::plain(3, 40, 2)];
            if block == BlockKind::Resnext {
                stages[1] = Stage { group_width: 8, se_ratio: 0.25, ..stages[1].clone() };
            }
            let network = Network { block, stem, conv_bias, ..Network::of_stages(stages, 7) };
            let elements: i64 = network.parameters().iter().map(|parameter| parameter.elements()).sum();
            let summary = network.summary(1, 64, 64).unwrap();
            assert_eq!(elements as u64, summary.params, "{network:?}");
            let statistics: i64 = network.statistics().iter().map(|statistic| statistic.width).sum();
            assert_eq!(statistics as u64, summary.statistics_elements(), "{network:?}");
            let last = network.parameters().last().unwrap().block;
            assert_eq!(last, network.blocks().len(), "the head comes after stem and body");
        }
    }
}
