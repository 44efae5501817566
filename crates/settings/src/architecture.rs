//! What `[model]` means: which network, by which of the three ways to say it.

use regatta_anynet::{BlockKind, Generator, Rounding, Stage, Stem, zoo};

use crate::error::RecipeError;
use crate::place::Places;
use crate::raw::{RawAnyNet, RawModel, RawRegNet, RawStage};
use crate::recipe::{AnyNet, Architecture, DataSource, ModelSettings, PublishedNetwork};
use crate::required::Required;

/// Output channels of the stem in the paper, and in the book.
const STEM_WIDTH: u32 = 32;
/// How a network is said.
const WAYS: &str = r#"a published network such as arch = "regnetx_400mf", or [model.regnet] with the generator's parameters, or [model.anynet] with stages"#;

/// The network of a recipe with images of `source`.
pub(crate) fn model(
    raw: RawModel,
    source: &DataSource,
    required: &Required,
) -> Result<ModelSettings, RecipeError> {
    let places = required.places;
    let (channels, classes) = source.channels_and_classes();
    let (architecture, named_rounding) = architecture(&raw, required)?;
    let is_mlp = matches!(&architecture, Architecture::AnyNet(AnyNet { block: BlockKind::Mlp, .. }));
    let stem = raw.stem.unwrap_or(if is_mlp { Stem::Flatten } else { Stem::Simple });
    Ok(ModelSettings {
        rounding: rounding(&architecture, named_rounding, &raw, places)?,
        architecture,
        classes: raw.classes.unwrap_or(classes),
        in_channels: raw.in_channels.unwrap_or(channels),
        stem,
        stem_width: stem_width(stem, raw.stem_width, places)?,
        conv_bias: raw.conv_bias,
        dropout: raw.dropout,
        init: raw.init,
        pretrained: raw.pretrained,
    })
}

/// The body, and the rounding that the name of a published one goes with.
fn architecture(
    raw: &RawModel,
    required: &Required,
) -> Result<(Architecture, Option<Rounding>), RecipeError> {
    let places = required.places;
    let has_regnet = raw.regnet != RawRegNet::default();
    let has_anynet = raw.anynet != RawAnyNet::default();
    match (&raw.arch, has_regnet, has_anynet) {
        (Some(name), false, false) => {
            let problem =
                |error: zoo::UnknownName| places.conflict("model.arch", format!("model.arch: {error}"));
            let (published, rounding) = zoo::find(name).map_err(problem)?;
            Ok((Architecture::Published(PublishedNetwork(published)), rounding))
        }
        (None, true, false) => Ok((Architecture::RegNet(generator(&raw.regnet, required)), None)),
        (None, false, true) => Ok((Architecture::AnyNet(anynet(&raw.anynet, required)), None)),
        (None, false, false) => {
            required.note_unset("model.arch", WAYS);
            Ok((Architecture::AnyNet(AnyNet { block: BlockKind::default(), stages: Vec::new() }), None))
        }
        (arch, ..) => {
            let ways = [("arch", arch.is_some()), ("regnet", has_regnet), ("anynet", has_anynet)];
            let set: Vec<_> = ways.iter().filter(|(_, is_set)| *is_set).map(|(key, _)| *key).collect();
            let problem = format!(
                "model.{} are set, and each of them is a whole network: leave one",
                set.join(" and model.")
            );
            Err(places.conflict(&format!("model.{}", set[0]), problem))
        }
    }
}

fn rounding(
    architecture: &Architecture,
    named: Option<Rounding>,
    raw: &RawModel,
    places: &Places,
) -> Result<Option<Rounding>, RecipeError> {
    if matches!(architecture, Architecture::AnyNet(_)) {
        return match raw.rounding {
            None => Ok(None),
            Some(_) => {
                let problem = "model.rounding is set, but the stages of [model.anynet] are taken as they are: leave it out";
                Err(places.conflict("model.rounding", problem.to_owned()))
            }
        };
    }
    match (named, raw.rounding) {
        (Some(named), Some(set)) if named != set => {
            let arch = raw.arch.as_deref().unwrap_or_default();
            let problem = format!(
                "model.rounding is set to another than the network {arch:?} has: leave it out, or take this project's \
                 name for the network"
            );
            Err(places.conflict("model.rounding", problem))
        }
        (named, set) => Ok(Some(named.or(set).unwrap_or_default())),
    }
}

fn stem_width(stem: Stem, width: Option<u32>, places: &Places) -> Result<Option<u32>, RecipeError> {
    match (stem, width) {
        (Stem::Flatten, None) => Ok(None),
        (Stem::Flatten, Some(_)) => {
            let problem =
                "model.stem_width is set, but a flattening stem is as wide as the image: leave it out";
            Err(places.conflict("model.stem_width", problem.to_owned()))
        }
        (_, width) => Ok(Some(width.unwrap_or(STEM_WIDTH))),
    }
}

fn generator(raw: &RawRegNet, required: &Required) -> Generator {
    let count = |value: Option<u32>, key: &str, accepted: &str| {
        i64::from(required.value(value, &format!("model.regnet.{key}"), accepted))
    };
    let number = |value: Option<f64>, key: &str, accepted: &str| {
        required.value(value, &format!("model.regnet.{key}"), accepted)
    };
    Generator {
        depth: count(raw.depth, "depth", "a number of blocks, at least 1"),
        w0: count(raw.w0, "w0", "a multiple of 8 channels, such as 24"),
        wa: number(raw.wa, "wa", "a number, at least 0, such as 24.48"),
        wm: number(raw.wm, "wm", "a number above 1, such as 2.54"),
        group_width: count(raw.group_width, "group_width", "a number of channels, at least 1"),
        bottleneck_ratio: raw.bottleneck_ratio.unwrap_or(1.0),
        se_ratio: raw.se_ratio.unwrap_or(0.0),
    }
}

fn anynet(raw: &RawAnyNet, required: &Required) -> AnyNet {
    let block = raw.block.unwrap_or_default();
    let stages = required.value(
        raw.stages.as_deref(),
        "model.anynet.stages",
        "a list of tables such as [{ depth = 4, width = 32, group_width = 16 }]",
    );
    let stages = stages.iter().enumerate().map(|(index, raw)| stage(index, raw, block, required));
    AnyNet { block, stages: stages.collect() }
}

fn stage(index: usize, raw: &RawStage, block: BlockKind, required: &Required) -> Stage {
    let count = |value: Option<u32>, key: &str, accepted: &str| {
        i64::from(required.value(value, &format!("model.anynet.stages[{index}].{key}"), accepted))
    };
    let width = count(raw.width, "width", "a number of channels, at least 1");
    Stage {
        depth: count(raw.depth, "depth", "a number of blocks, at least 1"),
        width,
        stride: raw.stride.map_or(if block == BlockKind::Mlp { 1 } else { 2 }, i64::from),
        group_width: match (block, raw.group_width) {
            (BlockKind::Resnext, group_width) => {
                count(group_width, "group_width", "a divisor of the bottleneck width")
            }
            (_, group_width) => group_width.map_or(width, i64::from),
        },
        bottleneck_ratio: raw.bottleneck_ratio,
        se_ratio: raw.se_ratio,
    }
}
