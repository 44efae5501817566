//! The published networks to the last parameter, multiply-add and activation.

use regatta_anynet::{Generator, Network, Rounding, Stage, zoo};
use serde::Deserialize;

/// What pycls counts for a network of the paper at 224x224.
#[derive(Deserialize)]
struct Counted {
    name: String,
    title: String,
    widths: Vec<i64>,
    depths: Vec<i64>,
    group_widths: Vec<i64>,
    params: u64,
    flops: u64,
    activations: u64,
}

fn network(name: &str, rounding: Rounding) -> Network {
    zoo::find(name).unwrap().0.network(rounding, 1000).unwrap()
}

fn params(network: &Network) -> u64 {
    network.summary(1, 224, 224).unwrap().params
}

#[test]
fn published_networks_have_their_stages_and_complexity() {
    let counted: Vec<Counted> = serde_json::from_str(include_str!("published.json")).unwrap();
    assert_eq!(counted.len(), 24);
    for expected in counted {
        let (published, _) = zoo::find(&expected.name).unwrap();
        assert_eq!(published.title(), expected.title);
        let network = network(&expected.name, Rounding::Pycls);
        let column = |value: fn(&Stage) -> i64| network.stages.iter().map(value).collect::<Vec<_>>();
        assert_eq!(column(|stage| stage.width), expected.widths, "{}", expected.name);
        assert_eq!(column(|stage| stage.depth), expected.depths, "{}", expected.name);
        assert_eq!(column(|stage| stage.group_width), expected.group_widths, "{}", expected.name);

        let summary = network.summary(1, 224, 224).unwrap();
        assert_eq!(
            (summary.params, summary.flops, summary.activations),
            (expected.params, expected.flops, expected.activations),
            "{}",
            expected.name
        );
    }
}

/// pycls's list of counts leaves four networks out; published.json has for them what timm's modules come to when they run.
/// The paper prints millions of parameters, billions of multiply-adds, millions of activations.
#[test]
fn networks_that_pycls_does_not_list_have_the_papers_complexity() {
    let printed = [
        ("regnetx_12gf", "46.1 12.1 21.4"),
        ("regnety_600mf", "6.1 0.6 4.3"),
        ("regnety_3_2gf", "19.4 3.2 11.3"),
        ("regnety_8gf", "39.2 8.0 18.0"),
    ];
    for (name, expected) in printed {
        let summary = network(name, Rounding::Pycls).summary(1, 224, 224).unwrap();
        let [params, flops, activations] =
            [(summary.params, 1e6), (summary.flops, 1e9), (summary.activations, 1e6)]
                .map(|(count, unit)| format!("{:.1}", count as f64 / unit));
        assert_eq!(format!("{params} {flops} {activations}"), expected, "{name}");
    }
}

/// Parameters as torchvision documents them.
#[test]
fn torchvision_rounding_gives_torchvision_networks() {
    let documented = [
        ("regnet_x_400mf", 5_495_976),
        ("regnet_x_800mf", 7_259_656),
        ("regnet_x_1_6gf", 9_190_136),
        ("regnet_x_3_2gf", 15_296_552),
        ("regnet_x_8gf", 39_572_648),
        ("regnet_x_16gf", 54_278_536),
        ("regnet_x_32gf", 107_811_560),
        ("regnet_y_400mf", 4_344_144),
        ("regnet_y_800mf", 6_432_512),
        ("regnet_y_1_6gf", 11_202_430),
        ("regnet_y_3_2gf", 19_436_338),
        ("regnet_y_8gf", 39_381_472),
        ("regnet_y_16gf", 83_590_140),
        ("regnet_y_32gf", 145_046_770),
        ("regnet_y_128gf", 644_812_894),
    ];
    for (name, expected) in documented {
        let (published, rounding) = zoo::find(name).unwrap();
        assert_eq!(rounding, Some(Rounding::Torchvision), "{name}");
        assert_eq!(params(&published.network(Rounding::Torchvision, 1000).unwrap()), expected, "{name}");
    }
}

#[test]
fn the_rounding_rules_give_other_networks() {
    let last_width = |rounding| network("regnetx_400mf", rounding).stages.last().unwrap().width;
    assert_eq!((last_width(Rounding::Pycls), last_width(Rounding::Torchvision)), (384, 400));
    let in_torchvision = zoo::published().iter().filter(|it| it.torchvision_name().is_some());
    let differs =
        |it: &&zoo::Published| it.network(Rounding::Pycls, 1000) != it.network(Rounding::Torchvision, 1000);
    let other: Vec<_> = in_torchvision.filter(differs).map(zoo::Published::title).collect();
    assert_eq!(other, ["RegNetX-400MF", "RegNetY-800MF", "RegNetY-8.0GF"]);
}

/// Half to even, as the paper's code rounds; half away from zero gives other networks.
#[test]
fn regnety_squeezes_a_quarter_of_what_enters_a_block() {
    let rows = network("regnety_400mf", Rounding::Pycls).summary(1, 224, 224).unwrap().rows;
    let squeeze = |block: &str| {
        let name = format!("{block}.f.se.f_ex.0");
        rows.iter().find(|row| row.name == name).unwrap().output_shape.clone()
    };
    assert_eq!(squeeze("s1.b1"), [1, 8, 1, 1], "of the stem's 32");
    assert_eq!(squeeze("s2.b1"), [1, 12, 1, 1], "of 48");
    assert_eq!(squeeze("s2.b2"), [1, 26, 1, 1], "of 104");
}

#[test]
fn networks_are_found_by_anyone_s_name() {
    let check = |name: &str, title: &str, rounding| {
        let (published, found) = zoo::find(name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((published.title().as_str(), found), (title, rounding), "{name}");
    };
    let (pycls, torchvision) = (Some(Rounding::Pycls), Some(Rounding::Torchvision));
    check("regnetx_400mf", "RegNetX-400MF", None);
    check("regnet_x_400mf", "RegNetX-400MF", torchvision);
    check("regnetx_004", "RegNetX-400MF", pycls);
    check("regnetx_004_tv", "RegNetX-400MF", torchvision);
    check("regnety_080_tv", "RegNetY-8.0GF", torchvision);
    check("regnety_1_6gf", "RegNetY-1.6GF", None);
    check("regnet_y_1_6gf", "RegNetY-1.6GF", torchvision);
    check("regnety_016", "RegNetY-1.6GF", pycls);
    check("regnety_8gf", "RegNetY-8.0GF", None);
    check("regnety_320", "RegNetY-32GF", pycls);
    check("regnety_1280", "RegNetY-128GF", pycls);
}

#[test]
fn every_name_is_of_one_network() {
    let names = zoo::published().iter().flat_map(|it| {
        let timm = [Rounding::Pycls, Rounding::Torchvision].map(|rounding| it.timm_name(rounding));
        [Some(it.name()), it.torchvision_name()].into_iter().chain(timm).flatten()
    });
    let mut names: Vec<_> = names.collect();
    assert_eq!(names.len(), 25 + 15 + 25 + 3);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 25 + 15 + 25 + 3);
}

#[test]
fn other_names_are_refused_with_what_was_meant() {
    let error = zoo::find("RegNetX-400MF").unwrap_err().to_string();
    let expected = "no published network is called \"RegNetX-400MF\"; did you mean regnetx_400mf? there are regnetx_200mf, ";
    assert!(error.starts_with(expected), "{error}");
    assert!(zoo::find("resnet50").unwrap_err().to_string().contains("\"resnet50\"; there are regnetx_200mf"));
}

/// Parameters and activations in millions, multiply-adds in billions, at 224x224; error in percent.
#[test]
fn the_page_of_networks_lists_them() {
    let row = |pair: [&zoo::Published; 2]| {
        let cells = pair.map(|it| {
            let summary = it.network(Rounding::Pycls, 1000).unwrap().summary(1, 224, 224).unwrap();
            let [params, flops, activations] =
                [(summary.params, 1e6), (summary.flops, 1e9), (summary.activations, 1e6)]
                    .map(|(count, unit)| count as f64 / unit);
            let error = it.top1_error.unwrap();
            format!("{params:.2} | {flops:.2} | {activations:.1} | {error:.1}")
        });
        let [x, y] = pair.map(zoo::Published::name);
        format!("| `{x}` | {} | `{y}` | {} |", cells[0], cells[1])
    };
    let of_paper: Vec<_> = zoo::published().iter().filter(|it| it.top1_error.is_some()).collect();
    let (x, y) = of_paper.split_at(12);
    let table: Vec<_> = x.iter().zip(y).map(|(x, y)| row([x, y])).collect();
    let page = include_str!("../../../docs/networks.md");
    assert!(page.contains(&table.join("\n")), "docs/networks.md lists\n{}", table.join("\n"));
}

/// A generator is what the table says, whichever way it is written.
#[test]
fn generator_parameters_are_those_of_the_paper() {
    let (published, _) = zoo::find("regnety_16gf").unwrap();
    let expected = Generator {
        depth: 18,
        w0: 200,
        wa: 106.23,
        wm: 2.48,
        group_width: 112,
        bottleneck_ratio: 1.0,
        se_ratio: 0.25,
    };
    assert_eq!(published.generator(), expected);
    assert_eq!((published.top1_error, published.global_batch_size), (Some(19.6), 256));
}
