//! Names of a network's tensors in other libraries.

use expect_test::{Expect, expect};
use regatta_anynet::{Naming, Network, Stage};

fn network() -> Network {
    let stage = Stage { group_width: 8, se_ratio: 0.25, ..Stage::plain(2, 16, 2) };
    Network::of_stages(vec![stage], 10)
}

fn check(naming: Naming, expected: Expect) {
    let network = network();
    let parameters = network.parameters().into_iter().map(|parameter| parameter.name);
    let statistics = network.statistics().into_iter().map(|statistic| statistic.name);
    // The second block has the first's names but for its projection.
    let names = parameters.chain(statistics.take(4)).filter(|name| !name.starts_with("s1.b2.f.b"));
    let theirs: Vec<_> = names.map(|name| naming.name(&name)).collect();
    expected.assert_eq(&(theirs.join("\n") + "\n"));
}

#[test]
fn of_torchvision() {
    check(
        Naming::Torchvision,
        expect![[r#"
        stem.0.weight
        stem.1.weight
        stem.1.bias
        trunk_output.block1.block1-0.f.a.0.weight
        trunk_output.block1.block1-0.f.a.1.weight
        trunk_output.block1.block1-0.f.a.1.bias
        trunk_output.block1.block1-0.f.b.0.weight
        trunk_output.block1.block1-0.f.b.1.weight
        trunk_output.block1.block1-0.f.b.1.bias
        trunk_output.block1.block1-0.f.se.fc1.weight
        trunk_output.block1.block1-0.f.se.fc1.bias
        trunk_output.block1.block1-0.f.se.fc2.weight
        trunk_output.block1.block1-0.f.se.fc2.bias
        trunk_output.block1.block1-0.f.c.0.weight
        trunk_output.block1.block1-0.f.c.1.weight
        trunk_output.block1.block1-0.f.c.1.bias
        trunk_output.block1.block1-0.proj.0.weight
        trunk_output.block1.block1-0.proj.1.weight
        trunk_output.block1.block1-0.proj.1.bias
        trunk_output.block1.block1-1.f.a.0.weight
        trunk_output.block1.block1-1.f.a.1.weight
        trunk_output.block1.block1-1.f.a.1.bias
        trunk_output.block1.block1-1.f.se.fc1.weight
        trunk_output.block1.block1-1.f.se.fc1.bias
        trunk_output.block1.block1-1.f.se.fc2.weight
        trunk_output.block1.block1-1.f.se.fc2.bias
        trunk_output.block1.block1-1.f.c.0.weight
        trunk_output.block1.block1-1.f.c.1.weight
        trunk_output.block1.block1-1.f.c.1.bias
        fc.weight
        fc.bias
        stem.1.running_mean
        stem.1.running_var
        trunk_output.block1.block1-0.f.a.1.running_mean
        trunk_output.block1.block1-0.f.a.1.running_var
    "#]],
    );
}

#[test]
fn of_timm() {
    check(
        Naming::Timm,
        expect![[r#"
        stem.conv.weight
        stem.bn.weight
        stem.bn.bias
        s1.b1.conv1.conv.weight
        s1.b1.conv1.bn.weight
        s1.b1.conv1.bn.bias
        s1.b1.conv2.conv.weight
        s1.b1.conv2.bn.weight
        s1.b1.conv2.bn.bias
        s1.b1.se.fc1.weight
        s1.b1.se.fc1.bias
        s1.b1.se.fc2.weight
        s1.b1.se.fc2.bias
        s1.b1.conv3.conv.weight
        s1.b1.conv3.bn.weight
        s1.b1.conv3.bn.bias
        s1.b1.downsample.conv.weight
        s1.b1.downsample.bn.weight
        s1.b1.downsample.bn.bias
        s1.b2.conv1.conv.weight
        s1.b2.conv1.bn.weight
        s1.b2.conv1.bn.bias
        s1.b2.se.fc1.weight
        s1.b2.se.fc1.bias
        s1.b2.se.fc2.weight
        s1.b2.se.fc2.bias
        s1.b2.conv3.conv.weight
        s1.b2.conv3.bn.weight
        s1.b2.conv3.bn.bias
        head.fc.weight
        head.fc.bias
        stem.bn.running_mean
        stem.bn.running_var
        s1.b1.conv1.bn.running_mean
        s1.b1.conv1.bn.running_var
    "#]],
    );
}

#[test]
fn pycls_names_are_unchanged() {
    for parameter in network().parameters() {
        assert_eq!(Naming::Pycls.name(&parameter.name), parameter.name);
    }
}

#[test]
fn no_two_tensors_share_a_name() {
    let (parameters, statistics) = (network().parameters(), network().statistics());
    let ours = parameters.iter().map(|it| &it.name).chain(statistics.iter().map(|it| &it.name));
    for naming in Naming::ALL {
        let mut theirs: Vec<_> = ours.clone().map(|name| naming.name(name)).collect();
        let count = theirs.len();
        theirs.sort();
        theirs.dedup();
        assert_eq!(theirs.len(), count, "{naming:?}");
    }
}
