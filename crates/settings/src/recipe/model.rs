//! The resolved `[model]` and `[data]`.

use std::path::PathBuf;

use regatta_anynet::zoo::{self, Published, UnknownName};
use regatta_anynet::{BlockKind, Generator, Network, NetworkError, Rounding, Stage, Stem};
use regatta_data::DatasetName;
use serde::{Deserialize, Serialize};

use crate::choice::Init;

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSettings {
    /// The body.
    #[serde(flatten)]
    pub architecture: Architecture,
    /// How generated widths become multiples of the group width; of a body that is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounding: Option<Rounding>,
    /// Number of classes.
    pub classes: u32,
    /// Channels of an input image.
    pub in_channels: u32,
    /// What comes before the body.
    pub stem: Stem,
    /// Output channels of the stem's convolution, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stem_width: Option<u32>,
    /// Whether convolutions have biases.
    pub conv_bias: bool,
    /// Probability with which training zeroes a feature before the classifier, in [0, 1).
    pub dropout: f64,
    /// How weights start.
    pub init: Init,
    /// A file whose weights the run starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<PathBuf>,
}

impl ModelSettings {
    /// The description for images of `resolution_px`, not validated.
    ///
    /// # Errors
    /// Generator parameters that give no stages.
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

/// The body of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Architecture {
    /// A published network.
    #[serde(rename = "arch")]
    Published(PublishedNetwork),
    /// The parameters that generate its stages.
    #[serde(rename = "regnet")]
    RegNet(Generator),
    /// Its stages.
    #[serde(rename = "anynet")]
    AnyNet(AnyNet),
}

/// A body stage by stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnyNet {
    /// What the stages are made of.
    pub block: BlockKind,
    /// First to last.
    pub stages: Vec<Stage>,
}

/// A published network, which a recipe holds by its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PublishedNetwork(pub &'static Published);

impl From<PublishedNetwork> for String {
    fn from(network: PublishedNetwork) -> Self {
        network.0.name()
    }
}

impl TryFrom<String> for PublishedNetwork {
    type Error = UnknownName;

    fn try_from(name: String) -> Result<Self, UnknownName> {
        zoo::find(&name).map(|(published, _)| Self(published))
    }
}

/// The images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSettings {
    /// Where they come from.
    #[serde(flatten)]
    pub source: DataSource,
    /// Height and width of the network's input, in pixels.
    pub resolution_px: u32,
    /// Mean by channel on the scale 0 to 1; one per input channel.
    pub mean: Vec<f64>,
    /// Standard deviation by channel on the scale 0 to 1, above 0; one per input channel.
    pub std: Vec<f64>,
    /// Probability that a training image is mirrored left to right, 0 to 1.
    pub horizontal_flip_probability: f64,
    /// Padding before a random crop, in pixels of the stored image; 0 is off.
    pub random_crop_padding_px: u32,
}

/// Where images come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "dataset", rename_all = "snake_case")]
pub enum DataSource {
    /// Images made up from a seed.
    Synthetic {
        /// Number of training images, at least 1.
        #[serde(rename = "synthetic_train_images")]
        train_images: usize,
        /// Number of validation images, at least 1.
        #[serde(rename = "synthetic_val_images")]
        val_images: usize,
        /// Channels of an image.
        #[serde(rename = "synthetic_channels")]
        channels: u32,
        /// Number of classes.
        #[serde(rename = "synthetic_classes")]
        classes: u32,
    },
    /// The files of a known data set.
    #[serde(untagged)]
    Files {
        /// Which one.
        dataset: DatasetName,
        /// The files' folder.
        folder: PathBuf,
    },
}
