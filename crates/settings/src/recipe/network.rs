//! `[model]`'s three ways to specify a network: `arch`, `[model.regnet]` and `[model.anynet]`.

use regatta_anynet::zoo::{self, Published};
use regatta_anynet::{BlockKind, Generator, MAX_CHANNELS, MAX_DEPTH, MAX_STRIDE, Rounding, Stage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::RecipeError;
use crate::recipe::RawModel;
use crate::required::Required;

/// The ways to specify a network, as listed in the error for a recipe without one.
const WAYS: &str = r#"a published network such as arch = "regnetx_400mf", or [model.regnet] with the generator's parameters, or [model.anynet] with stages"#;

/// `[model.regnet]`: a body made by the RegNet generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawRegNet {
    /// Number of blocks in the body. Required: a number of blocks, at least 1.
    #[schemars(range(min = 1, max = MAX_DEPTH))]
    pub depth: u32,
    /// Width of the first block, in channels, a multiple of 8. Required: a multiple of 8 channels, such as 24.
    #[schemars(range(min = 8, max = MAX_CHANNELS))]
    pub w0: u32,
    /// Slope of the widths, in channels per block, at least 0. Required: a number, at least 0, such as 24.48.
    pub wa: f64,
    /// Ratio of the widths of neighbouring stages, above 1. Required: a number above 1, such as 2.54.
    pub wm: f64,
    /// Channels per group of the 3x3 convolutions. Required: a number of channels, at least 1.
    #[schemars(range(min = 1, max = MAX_CHANNELS))]
    pub group_width: u32,
    /// Ratio of bottleneck width to block width. Default: 1.0.
    pub bottleneck_ratio: f64,
    /// Ratio of squeeze-and-excitation width to a block's input channels, 0.25 in RegNetY; 0 disables
    /// squeeze-and-excitation. Default: 0.0.
    pub se_ratio: f64,
}

impl Default for RawRegNet {
    fn default() -> Self {
        Self { depth: 0, w0: 0, wa: 0.0, wm: 0.0, group_width: 0, bottleneck_ratio: 1.0, se_ratio: 0.0 }
    }
}

/// `[model.anynet]`: a body given stage by stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawAnyNet {
    /// Kind of block: "resnext" (1x1, grouped 3x3 and 1x1 convolution with a shortcut, as in RegNetX and RegNetY),
    /// "resnet_basic" (two 3x3 with a shortcut), "vanilla" (two 3x3), "mlp" (fully connected). Default: "resnext".
    pub block: BlockKind,
    /// The stages, first to last. Required: a list of tables such as [{ depth = 4, width = 32, group_width = 16 }].
    pub stages: Vec<RawStage>,
}

/// One entry of `model.anynet.stages`: blocks of one width, the first of which changes the resolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawStage {
    /// Number of blocks. Required: a number of blocks, at least 1.
    #[schemars(range(min = 1, max = MAX_DEPTH))]
    pub depth: u32,
    /// Output channels of each block. Required: a number of channels, at least 1.
    #[schemars(range(min = 1, max = MAX_CHANNELS))]
    pub width: u32,
    /// Stride of the first block. Default: 2, for mlp blocks 1.
    #[schemars(range(min = 1, max = MAX_STRIDE))]
    pub stride: Option<u32>,
    /// Channels per group of the 3x3 convolutions (resnext only, and required there). Default: unset.
    #[schemars(range(min = 1, max = MAX_CHANNELS))]
    pub group_width: Option<u32>,
    /// Ratio of bottleneck width to block width (resnext only). Default: 1.0.
    pub bottleneck_ratio: f64,
    /// Ratio of squeeze-and-excitation width to a block's input channels; 0 disables squeeze-and-excitation (resnext
    /// only). Default: 0.0.
    pub se_ratio: f64,
}

impl Default for RawStage {
    fn default() -> Self {
        Self { depth: 0, width: 0, stride: None, group_width: None, bottleneck_ratio: 1.0, se_ratio: 0.0 }
    }
}

/// The body of the network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Architecture {
    /// A published network.
    #[serde(rename = "arch")]
    Published(PublishedNetwork),
    /// Parameters of the generator that makes the stages.
    #[serde(rename = "regnet")]
    RegNet(Generator),
    /// Stages given one by one.
    #[serde(rename = "anynet")]
    AnyNet(AnyNet),
}

/// A body given stage by stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnyNet {
    /// Kind of block.
    pub block: BlockKind,
    /// The stages, first to last.
    pub stages: Vec<Stage>,
}

/// A published network; serialised as its name.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "String")]
pub struct PublishedNetwork(pub &'static Published);

impl From<PublishedNetwork> for String {
    fn from(network: PublishedNetwork) -> Self {
        network.0.name()
    }
}

impl RawModel {
    /// Resolves the body, and the rounding that the name of a published network implies.
    ///
    /// # Errors
    /// An unknown name, or more than one way to specify the network. Missing keys are noted in `required`.
    pub(crate) fn architecture(
        &self,
        required: &Required,
    ) -> Result<(Architecture, Option<Rounding>), RecipeError> {
        let places = required.places;
        let (has_regnet, has_anynet) = (places.is_typed("model.regnet"), places.is_typed("model.anynet"));
        match (&self.arch, has_regnet, has_anynet) {
            (Some(name), false, false) => {
                let problem =
                    |error: zoo::UnknownName| places.conflict("model.arch", format!("model.arch: {error}"));
                let (published, rounding) = zoo::find(name).map_err(problem)?;
                Ok((Architecture::Published(PublishedNetwork(published)), rounding))
            }
            (None, true, false) => Ok((Architecture::RegNet(self.regnet.generator(required)), None)),
            (None, false, true) => Ok((Architecture::AnyNet(self.anynet.resolve(required)), None)),
            (None, false, false) => {
                required.note_unset("model.arch", WAYS);
                Ok((Architecture::AnyNet(AnyNet { block: BlockKind::default(), stages: Vec::new() }), None))
            }
            (arch, ..) => {
                let ways = [("arch", arch.is_some()), ("regnet", has_regnet), ("anynet", has_anynet)];
                let set: Vec<_> = ways.iter().filter(|(_, is_set)| *is_set).map(|(key, _)| *key).collect();
                let problem = format!(
                    "model.{} are set, but each of them specifies a complete network: keep only one",
                    set.join(" and model.")
                );
                Err(places.conflict(&format!("model.{}", set[0]), problem))
            }
        }
    }
}

impl RawRegNet {
    fn generator(&self, required: &Required) -> Generator {
        required.note_unset_in("model.regnet");
        Generator {
            depth: self.depth.into(),
            w0: self.w0.into(),
            wa: self.wa,
            wm: self.wm,
            group_width: self.group_width.into(),
            bottleneck_ratio: self.bottleneck_ratio,
            se_ratio: self.se_ratio,
        }
    }
}

impl RawAnyNet {
    fn resolve(&self, required: &Required) -> AnyNet {
        required.note_unset_in("model.anynet");
        let stages = self.stages.iter().enumerate();
        let stages = stages.map(|(index, stage)| {
            stage.resolve(&format!("model.anynet.stages[{index}]"), self.block, required)
        });
        AnyNet { block: self.block, stages: stages.collect() }
    }
}

impl RawStage {
    /// Resolves the stage at the key path `key`, made of blocks of the kind `block`.
    fn resolve(&self, key: &str, block: BlockKind, required: &Required) -> Stage {
        required.note_unset_in(key);
        let group_width = match block {
            BlockKind::Resnext => {
                let key = format!("{key}.group_width");
                required.value(self.group_width, &key, "a divisor of the bottleneck width")
            }
            _ => self.group_width.unwrap_or(self.width),
        };
        Stage {
            depth: self.depth.into(),
            width: self.width.into(),
            stride: self.stride.map_or(if block == BlockKind::Mlp { 1 } else { 2 }, i64::from),
            group_width: group_width.into(),
            bottleneck_ratio: self.bottleneck_ratio,
            se_ratio: self.se_ratio,
        }
    }
}
