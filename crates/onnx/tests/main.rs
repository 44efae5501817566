//! Models are read back: graphs are well-formed, constants are the folded weights, and unusable weights are refused.
//! The trainer's tests run them in onnxruntime.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

use std::collections::BTreeSet;

use expect_test::expect;
use prost::Message;
use regatta_anynet::{BATCH_NORM_EPS, BlockKind, Network, Rounding, Stage, Stem, zoo};
use regatta_onnx::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
use regatta_onnx::{INPUT, OUTPUT, OnnxError, Options, Tensor, Tensors, model};

fn options() -> Options {
    Options {
        batch: None,
        height_px: 8,
        width_px: 8,
        producer_version: "1.2.3".into(),
        metadata: vec![("mean".into(), "[0.5]".into())],
    }
}

/// Tensors of which no two elements near each other are equal; variances are positive.
fn tensors(network: &Network) -> Tensors {
    let tensor = |(name, shape): (String, Vec<i64>)| {
        let base = if name.ends_with("running_var") { 1.5 } else { 0.0 };
        let elements = shape.iter().product::<i64>();
        let values =
            (0..elements).map(|index| base + ((index * 7 + name.len() as i64) % 11 - 5) as f32 / 8.0);
        let values = values.collect();
        (name, Tensor { shape, values })
    };
    network.tensors().into_iter().map(tensor).collect()
}

/// A network of two stages with every part of a block.
fn small(block: BlockKind, stem: Stem) -> Network {
    let stage = |width, se_ratio| match block {
        BlockKind::Resnext => Stage { group_width: 4, se_ratio, ..Stage::plain(2, width, 2) },
        _ => Stage::plain(2, width, if stem == Stem::Flatten { 1 } else { 2 }),
    };
    let stages = vec![stage(8, 0.25), stage(16, 0.0)];
    let stem_width = if stem == Stem::Flatten { 3 * 8 * 8 } else { 8 };
    Network { block, stem, stem_width, ..Network::of_stages(stages, 5) }
}

fn graph(network: &Network) -> GraphProto {
    read(network, &options()).graph.unwrap()
}

fn read(network: &Network, options: &Options) -> ModelProto {
    network.validate().unwrap();
    ModelProto::decode(&model(network, &tensors(network), options).unwrap()[..]).unwrap()
}

fn line(NodeProto { input, output, op_type, attribute, .. }: &NodeProto) -> String {
    let attributes = attribute.iter().map(|it| match it.i {
        Some(value) => format!(" {}={value}", it.name),
        None => format!(" {}={:?}", it.name, it.ints),
    });
    format!("{} = {op_type}({}){}\n", output.join(", "), input.join(", "), attributes.collect::<String>())
}

#[test]
fn every_value_is_defined_before_it_is_read_and_every_constant_is_used() {
    for (block, stem) in [
        (BlockKind::Resnext, Stem::Simple),
        (BlockKind::Resnext, Stem::Resnet),
        (BlockKind::ResnetBasic, Stem::Cifar),
        (BlockKind::Vanilla, Stem::Simple),
        (BlockKind::Mlp, Stem::Flatten),
    ] {
        let GraphProto { node, initializer, .. } = graph(&small(block, stem));
        let constants: BTreeSet<_> = initializer.iter().map(|it| it.name.clone()).collect();
        assert_eq!(constants.len(), initializer.len(), "{block:?}: names of constants differ");
        let mut defined = BTreeSet::from([INPUT.to_owned()]);
        let mut used = BTreeSet::new();
        for node in &node {
            for input in &node.input {
                assert!(defined.contains(input) || constants.contains(input), "{block:?}: {}", line(node));
                used.insert(input.clone());
            }
            assert!(defined.insert(node.output[0].clone()), "{block:?}: {} is defined again", line(node));
            assert!(!constants.contains(&node.output[0]), "{block:?}: {}", line(node));
        }
        let unused: Vec<_> = defined.union(&constants).filter(|name| !used.contains(*name)).collect();
        assert_eq!(unused, [OUTPUT], "{block:?}");
    }
}

#[test]
fn a_network_has_these_nodes() {
    let y = Network {
        stages: vec![Stage { depth: 1, ..small(BlockKind::Resnext, Stem::Simple).stages[0].clone() }],
        ..small(BlockKind::Resnext, Stem::Resnet)
    };
    expect![[r#"
        stem.conv = Conv(images, stem.conv.weight, stem.conv.bias) kernel_shape=[7, 7] strides=[2, 2] pads=[3, 3, 3, 3] group=1
        stem.af = Relu(stem.conv)
        stem.pool = MaxPool(stem.af) kernel_shape=[3, 3] strides=[2, 2] pads=[1, 1, 1, 1]
        s1.b1.f.a = Conv(stem.pool, s1.b1.f.a.weight, s1.b1.f.a.bias) kernel_shape=[1, 1] strides=[1, 1] pads=[0, 0, 0, 0] group=1
        s1.b1.f.a_af = Relu(s1.b1.f.a)
        s1.b1.f.b = Conv(s1.b1.f.a_af, s1.b1.f.b.weight, s1.b1.f.b.bias) kernel_shape=[3, 3] strides=[2, 2] pads=[1, 1, 1, 1] group=2
        s1.b1.f.b_af = Relu(s1.b1.f.b)
        s1.b1.f.se.avg_pool = GlobalAveragePool(s1.b1.f.b_af)
        s1.b1.f.se.f_ex.0 = Conv(s1.b1.f.se.avg_pool, s1.b1.f.se.f_ex.0.weight, s1.b1.f.se.f_ex.0.bias) kernel_shape=[1, 1] strides=[1, 1] pads=[0, 0, 0, 0] group=1
        s1.b1.f.se.f_ex.1 = Relu(s1.b1.f.se.f_ex.0)
        s1.b1.f.se.f_ex.2 = Conv(s1.b1.f.se.f_ex.1, s1.b1.f.se.f_ex.2.weight, s1.b1.f.se.f_ex.2.bias) kernel_shape=[1, 1] strides=[1, 1] pads=[0, 0, 0, 0] group=1
        s1.b1.f.se.f_ex.3 = Sigmoid(s1.b1.f.se.f_ex.2)
        s1.b1.f.se.scale = Mul(s1.b1.f.se.f_ex.3, s1.b1.f.b_af)
        s1.b1.f.c = Conv(s1.b1.f.se.scale, s1.b1.f.c.weight, s1.b1.f.c.bias) kernel_shape=[1, 1] strides=[1, 1] pads=[0, 0, 0, 0] group=1
        s1.b1.proj = Conv(stem.pool, s1.b1.proj.weight, s1.b1.proj.bias) kernel_shape=[1, 1] strides=[2, 2] pads=[0, 0, 0, 0] group=1
        s1.b1.add = Add(s1.b1.f.c, s1.b1.proj)
        s1.b1.af = Relu(s1.b1.add)
        head.avg_pool = GlobalAveragePool(s1.b1.af)
        head.flatten = Flatten(head.avg_pool) axis=1
        logits = Gemm(head.flatten, head.fc.weight, head.fc.bias) transB=1
    "#]].assert_eq(&graph(&y).node.iter().map(line).collect::<String>());
    let mlp = small(BlockKind::Mlp, Stem::Flatten);
    expect![[r#"
        stem.flatten = Reshape(images, stem.flatten.shape)
        s1.b1.a = Conv(stem.flatten, s1.b1.a.weight, s1.b1.a.bias) kernel_shape=[1, 1] strides=[1, 1] pads=[0, 0, 0, 0] group=1
        s1.b1.a_af = Relu(s1.b1.a)
    "#]].assert_eq(&graph(&mlp).node.iter().take(3).map(line).collect::<String>());
}

#[test]
fn a_file_says_what_it_takes_and_who_wrote_it() {
    let network = small(BlockKind::Vanilla, Stem::Simple);
    let about = |batch| {
        let ModelProto { graph, producer_name, producer_version, ir_version, opset_import, metadata_props } =
            read(&network, &Options { batch, height_px: 6, ..options() });
        let GraphProto { input, output, .. } = graph.unwrap();
        let shapes: String = input
            .iter()
            .chain(&output)
            .map(|value| {
                let tensor = value.r#type.clone().unwrap().tensor_type.unwrap();
                let sides: Vec<_> = tensor
                    .shape
                    .unwrap()
                    .dim
                    .into_iter()
                    .map(|side| format!("{:?}", side.value.unwrap()))
                    .collect();
                format!("{} {}: {}\n", value.name, tensor.elem_type, sides.join(", "))
            })
            .collect();
        format!(
            "{producer_name} {producer_version}, IR {ir_version}, {opset_import:?}, {metadata_props:?}\n{shapes}"
        )
    };
    expect![[r#"
        regatta 1.2.3, IR 8, [OperatorSetIdProto { domain: "", version: 17 }], [StringStringEntryProto { key: "mean", value: "[0.5]" }]
        images 1: DimParam("batch"), DimValue(3), DimValue(6), DimValue(8)
        logits 1: DimParam("batch"), DimValue(5)
        regatta 1.2.3, IR 8, [OperatorSetIdProto { domain: "", version: 17 }], [StringStringEntryProto { key: "mean", value: "[0.5]" }]
        images 1: DimValue(3), DimValue(3), DimValue(6), DimValue(8)
        logits 1: DimValue(3), DimValue(5)
    "#]].assert_eq(&(about(None) + &about(Some(3))));
}

/// The first channel of the stem, by hand.
#[test]
fn batch_norm_is_folded_into_the_convolution_before_it() {
    for conv_bias in [false, true] {
        let network = Network { conv_bias, ..small(BlockKind::Vanilla, Stem::Simple) };
        let tensors = tensors(&network);
        let first = |name: &str| f64::from(tensors[&format!("stem.{name}")].values[0]);
        let scale = first("bn.weight") / (first("bn.running_var") + BATCH_NORM_EPS).sqrt();
        let bias = if conv_bias { first("conv.bias") } else { 0.0 };
        let expected =
            [first("conv.weight") * scale, (bias - first("bn.running_mean")) * scale + first("bn.bias")];
        let constants = graph(&network).initializer;
        let found = ["stem.conv.weight", "stem.conv.bias"].map(|name| {
            let TensorProto { raw_data, .. } = constants.iter().find(|it| it.name == name).unwrap();
            f32::from_le_bytes(raw_data[..4].try_into().unwrap())
        });
        assert_eq!(found, expected.map(|value| value as f32));
        assert!(constants.iter().all(|it| !it.name.contains("bn") && !it.name.contains("running")));
    }
}

#[test]
fn unusable_weights_are_refused() {
    let network = small(BlockKind::Vanilla, Stem::Simple);
    let refused = |change: &dyn Fn(&mut Tensors)| {
        let mut changed = tensors(&network);
        change(&mut changed);
        model(&network, &changed, &options()).unwrap_err().to_string() + "\n"
    };
    let mut said = refused(&|tensors| _ = tensors.remove("s1.b1.a_bn.running_var"));
    said += &refused(&|tensors| tensors.get_mut("s2.b1.a.weight").unwrap().shape[2] = 1);
    said += &refused(&|tensors| tensors.get_mut("s2.b1.a_bn.running_var").unwrap().values[3] = -1.0);
    said += &refused(&|tensors| tensors.get_mut("head.fc.bias").unwrap().values[0] = f32::INFINITY);
    let mlp = small(BlockKind::Mlp, Stem::Flatten);
    let larger = Options { width_px: 9, ..options() };
    said += &model(&mlp, &tensors(&mlp), &larger).unwrap_err().to_string();
    expect![[r#"
        there is no tensor s1.b1.a_bn.running_var
        s2.b1.a.weight has shape [16, 8, 1, 3], expected [16, 8, 3, 3]
        s2.b1.a would have weights that are NaN or infinite
        head.fc would have weights that are NaN or infinite
        images of 8x9 pixels have 216 values, but the flattening stem takes 192"#]]
    .assert_eq(&said);
}

#[test]
fn a_model_beyond_the_limit_of_protocol_buffers_is_refused() {
    let (published, rounding) = zoo::find("regnet_y_128gf").unwrap();
    let network = published.network(rounding.unwrap_or(Rounding::Pycls), 1000).unwrap();
    let error = model(&network, &Tensors::new(), &options()).unwrap_err();
    assert!(matches!(error, OnnxError::TooLarge { bytes } if bytes == 4 * 644_812_894), "{error}");
}
