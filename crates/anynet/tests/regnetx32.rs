//! The book's network, layer by layer.

use expect_test::expect;
use regatta_anynet::regnetx32;
use serde_json::json;

#[test]
fn the_number_of_parameters_is_that_of_the_book() {
    assert_eq!(regnetx32(1, 10).summary(1, 96, 96).unwrap().params, 179_290);
}

#[test]
fn block_shapes_are_those_of_the_book() {
    let shapes: Vec<String> = regnetx32(1, 10)
        .block_shapes(1, 96, 96)
        .unwrap()
        .iter()
        .map(|block| format!("{} {:?}", block.name, block.output_shape))
        .collect();
    assert_eq!(shapes, ["stem [1, 32, 48, 48]", "s1 [1, 32, 24, 24]", "s2 [1, 80, 12, 12]", "head [1, 10]"]);
}

#[test]
fn the_last_map_shrinks_by_every_stride() {
    let network = regnetx32(1, 10);
    let cases = [((96, 96), (12, 12)), ((28, 28), (4, 4)), ((7, 9), (1, 2)), ((1, 1), (1, 1))];
    for ((height, width), expected) in cases {
        assert_eq!(network.smallest_map(height, width), expected, "{height}x{width}");
        let summary = network.summary(1, height, width).unwrap();
        let last_map = summary.rows.iter().rev().find(|row| row.output_shape.len() == 4).unwrap();
        assert_eq!(last_map.output_shape[2..], [expected.0, expected.1], "{height}x{width}");
    }
}

#[test]
fn costs_are_of_one_image_and_shapes_of_the_batch() {
    let network = regnetx32(1, 10);
    let [one, many] = [1, 128].map(|batch| network.summary(batch, 96, 96).unwrap());
    assert_eq!((one.params, one.flops, one.activations), (many.params, many.flops, many.activations));
    assert_eq!(many.rows.last().unwrap().output_shape, [128, 10]);
}

#[test]
fn the_table_has_every_layer_and_the_totals() {
    let mut network = regnetx32(1, 10);
    network.stages[0].depth = 1;
    network.stages[1].depth = 2;
    expect![[r#"
        layer          kind        output           params  multiply-adds  activations
        ------------------------------------------------------------------------------
        stem.conv      conv        2x32x48x48          320        737,280       73,728
        stem.bn        batch_norm  2x32x48x48           64              0            0
        stem.af        relu        2x32x48x48            0              0            0
        s1.b1.f.a      conv        2x32x48x48        1,056      2,433,024       73,728
        s1.b1.f.a_bn   batch_norm  2x32x48x48           64              0            0
        s1.b1.f.a_af   relu        2x32x48x48            0              0            0
        s1.b1.f.b      conv        2x32x24x24        4,640      2,672,640       18,432
        s1.b1.f.b_bn   batch_norm  2x32x24x24           64              0            0
        s1.b1.f.b_af   relu        2x32x24x24            0              0            0
        s1.b1.f.c      conv        2x32x24x24        1,056        608,256       18,432
        s1.b1.f.c_bn   batch_norm  2x32x24x24           64              0            0
        s1.b1.proj     conv        2x32x24x24        1,056        608,256       18,432
        s1.b1.bn       batch_norm  2x32x24x24           64              0            0
        s1.b1.add      add         2x32x24x24            0              0            0
        s1.b1.af       relu        2x32x24x24            0              0            0
        s2.b1.f.a      conv        2x80x24x24        2,640      1,520,640       46,080
        s2.b1.f.a_bn   batch_norm  2x80x24x24          160              0            0
        s2.b1.f.a_af   relu        2x80x24x24            0              0            0
        s2.b1.f.b      conv        2x80x12x12       11,600      1,670,400       11,520
        s2.b1.f.b_bn   batch_norm  2x80x12x12          160              0            0
        s2.b1.f.b_af   relu        2x80x12x12            0              0            0
        s2.b1.f.c      conv        2x80x12x12        6,480        933,120       11,520
        s2.b1.f.c_bn   batch_norm  2x80x12x12          160              0            0
        s2.b1.proj     conv        2x80x12x12        2,640        380,160       11,520
        s2.b1.bn       batch_norm  2x80x12x12          160              0            0
        s2.b1.add      add         2x80x12x12            0              0            0
        s2.b1.af       relu        2x80x12x12            0              0            0
        s2.b2.f.a      conv        2x80x12x12        6,480        933,120       11,520
        s2.b2.f.a_bn   batch_norm  2x80x12x12          160              0            0
        s2.b2.f.a_af   relu        2x80x12x12            0              0            0
        s2.b2.f.b      conv        2x80x12x12       11,600      1,670,400       11,520
        s2.b2.f.b_bn   batch_norm  2x80x12x12          160              0            0
        s2.b2.f.b_af   relu        2x80x12x12            0              0            0
        s2.b2.f.c      conv        2x80x12x12        6,480        933,120       11,520
        s2.b2.f.c_bn   batch_norm  2x80x12x12          160              0            0
        s2.b2.add      add         2x80x12x12            0              0            0
        s2.b2.af       relu        2x80x12x12            0              0            0
        head.avg_pool  mean_pool   2x80                  0              0            0
        head.fc        linear      2x10                810            810           10
        ------------------------------------------------------------------------------
        total                      input 2x1x96x96  58,298     15,101,226      317,962
    "#]]
    .assert_eq(&network.summary(2, 96, 96).unwrap().to_table());
}

#[test]
fn the_json_has_rows_and_totals() {
    let json = serde_json::to_value(regnetx32(1, 10).summary(1, 96, 96).unwrap()).unwrap();
    let batch_norm = json!({
        "name": "stem.bn", "kind": "batch_norm", "output_shape": [1, 32, 48, 48],
        "params": 64, "flops": 0, "activations": 0,
    });
    assert_eq!(json["rows"][1], batch_norm);
    assert_eq!(json["params"], 179_290);
    assert_eq!(json["flops"], 40_915_242);
    assert_eq!(json["activations"], 622_090);
}
