//! Generates the Python code that loads an exported file.

use std::path::Path;

use regatta_anynet::{BlockKind, Naming, Network, Rounding, Stage, Stem, zoo};

/// Returns code that builds the model and loads `file` into it, or loads only the weights if the library has no such model.
pub(crate) fn lines(network: &Network, naming: Naming, file: &Path) -> String {
    let model = match naming {
        Naming::Torchvision => torchvision(network),
        Naming::Timm => timm(network),
        Naming::Pycls => None,
    };
    let file = format!("{:?}", file.display().to_string());
    match model {
        Some(model) => format!(
            "import safetensors.torch\n{model}\nmodel.load_state_dict(safetensors.torch.load_file({file}))\n"
        ),
        None => format!(
            "import safetensors.torch\nstate_dict = safetensors.torch.load_file({file})  # for a model of your own\n"
        ),
    }
}

/// Returns whether torchvision and timm can express the network: X or Y blocks after a simple stem, no biases.
fn is_regnet(network: &Network) -> bool {
    network.block == BlockKind::Resnext
        && network.stem == Stem::Simple
        && !network.conv_bias
        && network.stages.windows(2).all(|pair| pair[0].se_ratio == pair[1].se_ratio)
}

fn torchvision(network: &Network) -> Option<String> {
    if !is_regnet(network) {
        return None;
    }
    let classes = network.classes;
    let named = named(network, Rounding::Torchvision).and_then(zoo::Published::torchvision_name);
    let mut lines = match named {
        Some(name) => format!("import torchvision\nmodel = torchvision.models.{name}(num_classes={classes})"),
        None => format!(
            "from torchvision.models.regnet import BlockParams, RegNet\n\
             blocks = BlockParams({})\n\
             model = RegNet(blocks, num_classes={classes}, stem_width={})",
            block_params(&network.stages),
            network.stem_width
        ),
    };
    let (channels, width) = (network.in_channels, network.stem_width);
    if channels != 3 {
        lines += &format!(
            "\nimport torch\nmodel.stem[0] = torch.nn.Conv2d({channels}, {width}, 3, stride=2, padding=1, bias=False)"
        );
    }
    Some(lines)
}

/// Returns the arguments of torchvision's `BlockParams`; its bottleneck multiplier is our bottleneck ratio.
fn block_params(stages: &[Stage]) -> String {
    let list = |value: fn(&Stage) -> String| stages.iter().map(value).collect::<Vec<_>>().join(", ");
    let se_ratio = match stages.first().map_or(0.0, |stage| stage.se_ratio) {
        0.0 => "None".to_owned(),
        ratio => format!("{ratio:?}"),
    };
    format!(
        "depths=[{}], widths=[{}], group_widths=[{}], bottleneck_multipliers=[{}], strides=[{}], se_ratio={se_ratio}",
        list(|stage| stage.depth.to_string()),
        list(|stage| stage.width.to_string()),
        list(|stage| stage.group_width.to_string()),
        list(|stage| format!("{:?}", stage.bottleneck_ratio)),
        list(|stage| stage.stride.to_string()),
    )
}

fn timm(network: &Network) -> Option<String> {
    let name = [Rounding::Pycls, Rounding::Torchvision]
        .into_iter()
        .find_map(|rounding| named(network, rounding)?.timm_name(rounding))?;
    let (classes, channels) = (network.classes, network.in_channels);
    Some(format!(
        "import timm\nmodel = timm.create_model(\"{name}\", num_classes={classes}, in_chans={channels})"
    ))
}

/// Returns the published network that equals this one under `rounding`, apart from classes and channels.
fn named(network: &Network, rounding: Rounding) -> Option<&'static zoo::Published> {
    if !is_regnet(network) {
        return None;
    }
    let is_same = |published: &&zoo::Published| {
        let theirs = published.network(rounding, network.classes);
        theirs.is_ok_and(|theirs| theirs.stages == network.stages && theirs.stem_width == network.stem_width)
    };
    zoo::published().iter().find(is_same)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use regatta_anynet::regnetx32;

    use super::*;

    fn check(network: &Network, naming: Naming, expected: Expect) {
        expected.assert_eq(&lines(network, naming, Path::new("x.safetensors")));
    }

    fn published(name: &str, rounding: Rounding, classes: i64) -> Network {
        zoo::find(name).unwrap().0.network(rounding, classes).unwrap()
    }

    #[test]
    fn torchvision_models_by_name() {
        check(
            &published("regnety_1_6gf", Rounding::Torchvision, 10),
            Naming::Torchvision,
            expect![[r#"
            import safetensors.torch
            import torchvision
            model = torchvision.models.regnet_y_1_6gf(num_classes=10)
            model.load_state_dict(safetensors.torch.load_file("x.safetensors"))
        "#]],
        );
        let grey = Network { in_channels: 1, ..published("regnetx_400mf", Rounding::Torchvision, 10) };
        check(
            &grey,
            Naming::Torchvision,
            expect![[r#"
            import safetensors.torch
            import torchvision
            model = torchvision.models.regnet_x_400mf(num_classes=10)
            import torch
            model.stem[0] = torch.nn.Conv2d(1, 32, 3, stride=2, padding=1, bias=False)
            model.load_state_dict(safetensors.torch.load_file("x.safetensors"))
        "#]],
        );
    }

    #[test]
    fn torchvision_models_from_block_params() {
        check(
            &published("regnety_800mf", Rounding::Pycls, 1000),
            Naming::Torchvision,
            expect![[r#"
            import safetensors.torch
            from torchvision.models.regnet import BlockParams, RegNet
            blocks = BlockParams(depths=[1, 3, 8, 2], widths=[64, 128, 320, 768], group_widths=[16, 16, 16, 16], bottleneck_multipliers=[1.0, 1.0, 1.0, 1.0], strides=[2, 2, 2, 2], se_ratio=0.25)
            model = RegNet(blocks, num_classes=1000, stem_width=32)
            model.load_state_dict(safetensors.torch.load_file("x.safetensors"))
        "#]],
        );
    }

    #[test]
    fn timm_models_by_name() {
        check(
            &published("regnety_800mf", Rounding::Pycls, 10),
            Naming::Timm,
            expect![[r#"
            import safetensors.torch
            import timm
            model = timm.create_model("regnety_008", num_classes=10, in_chans=3)
            model.load_state_dict(safetensors.torch.load_file("x.safetensors"))
        "#]],
        );
        check(
            &published("regnety_800mf", Rounding::Torchvision, 10),
            Naming::Timm,
            expect![[r#"
            import safetensors.torch
            import timm
            model = timm.create_model("regnety_008_tv", num_classes=10, in_chans=3)
            model.load_state_dict(safetensors.torch.load_file("x.safetensors"))
        "#]],
        );
    }

    #[test]
    fn networks_without_a_library_model() {
        check(
            &regnetx32(1, 10),
            Naming::Torchvision,
            expect![[r#"
            import safetensors.torch
            state_dict = safetensors.torch.load_file("x.safetensors")  # for a model of your own
        "#]],
        );
        check(
            &regnetx32(1, 10),
            Naming::Timm,
            expect![[r#"
            import safetensors.torch
            state_dict = safetensors.torch.load_file("x.safetensors")  # for a model of your own
        "#]],
        );
        check(
            &published("regnetx_400mf", Rounding::Pycls, 1000),
            Naming::Pycls,
            expect![[r#"
            import safetensors.torch
            state_dict = safetensors.torch.load_file("x.safetensors")  # for a model of your own
        "#]],
        );
    }
}
