//! The resolved `[model]` and `[data]`.

use std::path::PathBuf;

use regatta_anynet::{Generator, Network, NetworkError, Stage};
use serde::{Deserialize, Serialize};

use crate::choice::Init;

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSettings {
    /// The body.
    #[serde(flatten)]
    pub architecture: Architecture,
    /// Number of classes.
    pub classes: u32,
    /// Channels of an input image.
    pub in_channels: u32,
    /// Output channels of the stem.
    pub stem_width: u32,
    /// Whether convolutions have biases.
    pub conv_bias: bool,
    /// How weights start.
    pub init: Init,
}

impl ModelSettings {
    /// The description, not validated.
    ///
    /// # Errors
    /// Generator parameters that give no stages.
    pub(crate) fn network(&self) -> Result<Network, NetworkError> {
        let stages = match &self.architecture {
            Architecture::AnyNet { stages } => stages.clone(),
            Architecture::RegNet(generator) => generator.stages()?,
        };
        Ok(Network {
            in_channels: self.in_channels.into(),
            stem_width: self.stem_width.into(),
            stages,
            classes: self.classes.into(),
            conv_bias: self.conv_bias,
        })
    }
}

/// The body of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Architecture {
    /// Its stages.
    AnyNet {
        /// First to last.
        stages: Vec<Stage>,
    },
    /// The parameters that generate its stages.
    RegNet(Generator),
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
    /// Fashion-MNIST in idx files.
    FashionMnist {
        /// The files' folder.
        folder: PathBuf,
    },
    /// MNIST, or anything else in MNIST's idx files.
    Mnist {
        /// The files' folder.
        folder: PathBuf,
    },
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
}
