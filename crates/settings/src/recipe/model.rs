//! `[model]`: its keys and what they resolve to; the keys of the body are in `network.rs`.

use std::path::PathBuf;

use regatta_anynet::{
    BlockKind, MAX_CHANNELS, MAX_CLASSES, MAX_DEPTH, Network, NetworkError, Rounding, Stem,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::Init;
use crate::error::RecipeError;
use crate::interval::Checked;
use crate::place::Places;
use crate::recipe::{AnyNet, Architecture, DataSource, RawAnyNet, RawRegNet};
use crate::required::Required;

/// Output channels of the stem, in the RegNet paper and in "Dive into Deep Learning".
const STEM_WIDTH: u32 = 32;

/// `[model]`: the network, specified by exactly one of `arch`, `[model.regnet]` and `[model.anynet]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawModel {
    /// Name of a published network, such as "regnetx_400mf" or "regnety_1_6gf"; torchvision's and timm's names
    /// ("regnet_x_400mf", "regnetx_004") also select that network's rounding. Default: unset.
    pub arch: Option<String>,
    /// How stage widths are rounded to multiples of the group width: as in the paper's code ("pycls") or as in torchvision
    /// (with arch and model.regnet only). Default: "pycls".
    pub rounding: Option<Rounding>,
    /// Number of classes (required for image_folder and tar_shards). Default: that of the data set.
    #[schemars(range(min = 2, max = MAX_CLASSES))]
    pub classes: Option<u32>,
    /// Number of channels of an input image. Default: that of the data set.
    #[schemars(range(min = 1, max = MAX_CHANNELS))]
    pub in_channels: Option<u32>,
    /// Layers before the body: "simple" is a 3x3 convolution with stride 2, "resnet" a 7x7 one with stride 2 and
    /// max-pooling, "cifar" a 3x3 one with stride 1, "flatten" turns the image into a vector. Default: "simple", for mlp
    /// blocks "flatten".
    pub stem: Option<Stem>,
    /// Output channels of the stem's convolution. Default: 32.
    #[schemars(range(min = 1, max = MAX_CHANNELS))]
    pub stem_width: Option<u32>,
    /// Whether convolutions have biases (those in Dive into Deep Learning do, those in the RegNet paper do not).
    /// Default: false.
    pub conv_bias: bool,
    /// Dropout probability of the features before the classifier, 0 to below 1. Default: 0.0.
    pub dropout: f64,
    /// Weight initialisation: "he_fan_out" as in the RegNet paper's code, "xavier_uniform" as in Dive into Deep Learning.
    /// Default: "he_fan_out".
    pub init: Init,
    /// Safetensors file with initial weights, named as in pycls, torchvision or timm; its classifier is ignored if the
    /// number of classes differs. Default: unset.
    pub pretrained: Option<PathBuf>,
    /// Whether the classifier is initialised anew even if `pretrained` has one for this number of classes. Default: false.
    pub new_classifier: bool,
    /// Number of stages, counted from the stem, that are frozen together with it: they keep the weights and BatchNorm
    /// statistics of `pretrained`. 0 trains everything. Default: 0.
    #[schemars(range(min = 0, max = MAX_DEPTH))]
    pub frozen_stages: u32,
    /// Parameters of the RegNet generator.
    pub regnet: RawRegNet,
    /// The body stage by stage.
    pub anynet: RawAnyNet,
}

impl Default for RawModel {
    fn default() -> Self {
        Self {
            arch: None,
            rounding: None,
            classes: None,
            in_channels: None,
            stem: None,
            stem_width: None,
            conv_bias: false,
            dropout: 0.0,
            init: Init::HeFanOut,
            pretrained: None,
            new_classifier: false,
            frozen_stages: 0,
            regnet: RawRegNet::default(),
            anynet: RawAnyNet::default(),
        }
    }
}

/// Resolved `[model]`: the network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelSettings {
    /// The body.
    #[serde(flatten)]
    pub architecture: Architecture,
    /// How stage widths are rounded to multiples of the group width; only of a generated body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounding: Option<Rounding>,
    /// Number of classes.
    pub classes: u32,
    /// Number of channels of an input image.
    pub in_channels: u32,
    /// Layers before the body.
    pub stem: Stem,
    /// Output channels of the stem's convolution, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stem_width: Option<u32>,
    /// Whether convolutions have biases.
    pub conv_bias: bool,
    /// Dropout probability of the features before the classifier, in [0, 1).
    pub dropout: f64,
    /// Weight initialisation.
    pub init: Init,
    /// Safetensors file with initial weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<PathBuf>,
    /// Whether the classifier is initialised anew even if `pretrained` has one for this number of classes; false without
    /// `pretrained`.
    pub new_classifier: bool,
    /// Number of frozen stages, at most that of the body; with the first one the stem is frozen too. 0 without `pretrained`.
    pub frozen_stages: u32,
}

impl RawModel {
    /// Resolves the network for images of `source`.
    ///
    /// # Errors
    /// Keys that do not fit each other or the kind of network. Missing keys are noted in `required`.
    pub(crate) fn resolve(
        self,
        source: &DataSource,
        required: &Required,
    ) -> Result<ModelSettings, RecipeError> {
        let places = required.places;
        let (channels, classes) = source.channels_and_classes();
        let (architecture, named_rounding) = self.architecture(required)?;
        let is_mlp = matches!(&architecture, Architecture::AnyNet(AnyNet { block: BlockKind::Mlp, .. }));
        let stem = self.stem.unwrap_or(if is_mlp { Stem::Flatten } else { Stem::Simple });
        Ok(ModelSettings {
            rounding: self.rounding(&architecture, named_rounding, places)?,
            architecture,
            classes: required.value(
                self.classes.or(classes),
                "model.classes",
                "the number of classes, at least 2",
            ),
            in_channels: self.in_channels.unwrap_or(channels),
            stem,
            stem_width: stem_width(stem, self.stem_width, places)?,
            conv_bias: self.conv_bias,
            dropout: self.dropout,
            init: self.init,
            pretrained: self.pretrained,
            new_classifier: self.new_classifier,
            frozen_stages: self.frozen_stages,
        })
    }

    fn rounding(
        &self,
        architecture: &Architecture,
        named: Option<Rounding>,
        places: &Places,
    ) -> Result<Option<Rounding>, RecipeError> {
        if matches!(architecture, Architecture::AnyNet(_)) {
            return match self.rounding {
                None => Ok(None),
                Some(_) => {
                    let problem = "model.rounding is set, but the stages of [model.anynet] are never rounded: leave it out";
                    Err(places.conflict("model.rounding", problem.to_owned()))
                }
            };
        }
        match (named, self.rounding) {
            (Some(named), Some(set)) if named != set => {
                let arch = self.arch.as_deref().unwrap_or_default();
                let problem = format!(
                    "model.rounding differs from the rounding that the name {arch:?} implies: leave it out, or use this \
                     project's name for the network"
                );
                Err(places.conflict("model.rounding", problem))
            }
            (named, set) => Ok(Some(named.or(set).unwrap_or_default())),
        }
    }
}

fn stem_width(stem: Stem, width: Option<u32>, places: &Places) -> Result<Option<u32>, RecipeError> {
    match (stem, width) {
        (Stem::Flatten, None) => Ok(None),
        (Stem::Flatten, Some(_)) => {
            let problem = "model.stem_width is set, but the width of a flattening stem is given by the image: leave it out";
            Err(places.conflict("model.stem_width", problem.to_owned()))
        }
        (_, width) => Ok(Some(width.unwrap_or(STEM_WIDTH))),
    }
}

impl ModelSettings {
    /// Rejects what only pretrained weights allow without them, and more frozen stages than the body of `stages` stages has.
    pub(crate) fn check_fine_tuning(&self, stages: usize, places: &Places) -> Checked {
        let frozen = self.frozen_stages;
        let needs_weights = |key: &str, value: &str, otherwise: &str| {
            let problem = format!(
                "{key} = {value} needs weights to start from: set model.pretrained, or leave it at {otherwise}"
            );
            Err(places.conflict(key, problem))
        };
        if self.pretrained.is_none() && frozen > 0 {
            return needs_weights("model.frozen_stages", &frozen.to_string(), "0");
        }
        if self.pretrained.is_none() && self.new_classifier {
            return needs_weights("model.new_classifier", "true", "false");
        }
        let accepted = format!("an integer from 0 to {stages}, the number of stages");
        places.require(frozen as usize <= stages, "model.frozen_stages", frozen, &accepted)
    }

    /// Returns the network's description, not yet validated, for images of `resolution_px`.
    ///
    /// # Errors
    /// Generator parameters that do not produce any stages.
    pub(crate) fn network(&self, resolution_px: u32) -> Result<Network, NetworkError> {
        let rounding = self.rounding.unwrap_or_default();
        let (block, stages) = match &self.architecture {
            Architecture::Published(published) => {
                (BlockKind::Resnext, published.0.generator().stages(rounding)?)
            }
            Architecture::RegNet(generator) => (BlockKind::Resnext, generator.stages(rounding)?),
            Architecture::AnyNet(AnyNet { block, stages }) => (*block, stages.clone()),
        };
        let (in_channels, side) = (i64::from(self.in_channels), i64::from(resolution_px));
        Ok(Network {
            in_channels,
            stem: self.stem,
            stem_width: self.stem_width.map_or(in_channels.saturating_mul(side * side), i64::from),
            block,
            stages,
            dropout: self.dropout,
            classes: self.classes.into(),
            conv_bias: self.conv_bias,
        })
    }
}
