//! The published networks to the last parameter, multiply-add and activation.

use regatta_anynet::{Generator, Rounding, Stage};
use serde::Deserialize;

use crate::imagenet;

/// A RegNetX of the paper with what pycls counts for it at 224x224.
#[derive(Deserialize)]
struct Published {
    name: String,
    depth: i64,
    w0: i64,
    wa: f64,
    wm: f64,
    group_width: i64,
    widths: Vec<i64>,
    depths: Vec<i64>,
    group_widths: Vec<i64>,
    params: u64,
    flops: u64,
    activations: u64,
}

impl Published {
    fn generator(&self, rounding: Rounding) -> Generator {
        let Published { depth, w0, wa, wm, group_width, .. } = *self;
        Generator { depth, w0, wa, wm, group_width, bottleneck_ratio: 1.0, rounding }
    }
}

fn published() -> Vec<Published> {
    serde_json::from_str(include_str!("regnetx.json")).expect("regnetx.json holds these fields")
}

#[test]
fn regnetx_have_the_published_stages_and_complexity() {
    let networks = published();
    assert_eq!(networks.len(), 11);
    for expected in networks {
        let stages = expected.generator(Rounding::Pycls).stages().unwrap();
        let column = |value: fn(&Stage) -> i64| stages.iter().map(value).collect::<Vec<_>>();
        assert_eq!(column(|stage| stage.width), expected.widths, "{}", expected.name);
        assert_eq!(column(|stage| stage.depth), expected.depths, "{}", expected.name);
        assert_eq!(column(|stage| stage.group_width), expected.group_widths, "{}", expected.name);

        let summary = imagenet(stages).summary(1, 224, 224).unwrap();
        assert_eq!(
            (summary.params, summary.flops, summary.activations),
            (expected.params, expected.flops, expected.activations),
            "{}",
            expected.name
        );
    }
}

/// The paper rounds what it prints of RegNetX-12GF: 46.1 M parameters, 12.1 G multiply-adds, 21.4 M activations.
#[test]
fn regnetx_12gf_has_the_printed_complexity() {
    let generator = Generator {
        depth: 19,
        w0: 168,
        wa: 73.36,
        wm: 2.37,
        group_width: 112,
        bottleneck_ratio: 1.0,
        rounding: Rounding::Pycls,
    };
    let summary = imagenet(generator.stages().unwrap()).summary(1, 224, 224).unwrap();
    let in_units = |count: u64, unit: f64| format!("{:.1}", count as f64 / unit);
    assert_eq!(in_units(summary.params, 1e6), "46.1");
    assert_eq!(in_units(summary.flops, 1e9), "12.1");
    assert_eq!(in_units(summary.activations, 1e6), "21.4");
}

/// Parameters as torchvision documents them; only 400MF differs from the paper's.
#[test]
fn torchvision_rounding_gives_torchvision_networks() {
    let documented = [
        ("RegNetX-400MF", 5_495_976),
        ("RegNetX-800MF", 7_259_656),
        ("RegNetX-1.6GF", 9_190_136),
        ("RegNetX-3.2GF", 15_296_552),
        ("RegNetX-8.0GF", 39_572_648),
        ("RegNetX-16GF", 54_278_536),
        ("RegNetX-32GF", 107_811_560),
    ];
    let networks = published();
    for (name, params) in documented {
        let network = networks.iter().find(|network| network.name == name).unwrap();
        let stages = network.generator(Rounding::Torchvision).stages().unwrap();
        assert_eq!(imagenet(stages).summary(1, 224, 224).unwrap().params, params, "{name}");
    }
}

#[test]
fn the_rounding_rules_part_at_400mf() {
    let networks = published();
    let network = networks.iter().find(|network| network.name == "RegNetX-400MF").unwrap();
    let last_width = |rounding| network.generator(rounding).stages().unwrap().last().unwrap().width;
    assert_eq!((last_width(Rounding::Pycls), last_width(Rounding::Torchvision)), (384, 400));
}
