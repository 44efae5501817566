//! Describes an exported network: what it is, and how images are prepared for it.

use regatta_anynet::Naming;
use regatta_settings::{Architecture, ChannelOrder, DataSettings, Filter, ModelSettings};
use serde::Serialize;

use super::Source;
use crate::device::recipe_value;

/// Named texts. Lists are in JSON.
pub(super) type Metadata = Vec<(String, String)>;

/// How an image becomes the network's input, as in the run's evaluation. The result is then normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Preparation {
    /// The shorter side that it is resized to, in pixels. Without one, the whole image is resized to the input.
    pub(super) resize_px: Option<u32>,
    /// Height and width of the input, in pixels: the centre of the resized image.
    pub(super) crop_px: u32,
    pub(super) filter: Filter,
    pub(super) antialias: bool,
}

impl Preparation {
    /// Returns the preparation of the recipe's evaluation, or of one on `resolution_px` pixels, with the shorter side in the same
    /// ratio to the crop.
    pub(super) fn new(data: &DataSettings, resolution_px: Option<u32>) -> Self {
        let crop_px = resolution_px.unwrap_or(data.val_resolution_px);
        match data.val_resize_px_at(crop_px) {
            resize_px @ Some(_) => {
                Self { resize_px, crop_px, filter: data.interpolation, antialias: data.antialias }
            }
            // Images that are stored as pixels: the device resizes them.
            None => Self { resize_px: None, crop_px, filter: Filter::Bilinear, antialias: false },
        }
    }
}

/// Returns the metadata of a safetensors file.
pub(super) fn of_safetensors(source: &Source, naming: Naming) -> Metadata {
    let producer = format!("regatta {}", env!("CARGO_PKG_VERSION"));
    let own = [("format", "pt"), ("producer", &producer), ("names", naming.library())];
    let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let preparation = Preparation::new(&source.recipe.data, None);
    own.into_iter().chain(of_network(source, preparation)).collect()
}

/// Returns the metadata of any file with the network.
pub(super) fn of_network(source: &Source, preparation: Preparation) -> Metadata {
    let Source { recipe, class_names, weights, step, .. } = source;
    let Preparation { resize_px, crop_px, filter, antialias } = preparation;
    let arch = match &recipe.model.architecture {
        Architecture::Published(published) => published.0.name(),
        Architecture::RegNet(_) => "regnet".to_owned(),
        Architecture::AnyNet(_) => "anynet".to_owned(),
    };
    // How the weights came about says nothing of the network, and a path nothing to others.
    let model =
        ModelSettings { pretrained: None, new_classifier: false, frozen_stages: 0, ..recipe.model.clone() };
    let entries = [
        ("arch", Some(arch)),
        ("model", Some(json(&model))),
        ("classes", Some(recipe.model.classes.to_string())),
        ("class_names", class_names.as_ref().map(json)),
        ("mean", Some(json(&recipe.data.mean))),
        ("std", Some(json(&recipe.data.std))),
        ("channel_order", Some(recipe_value(&recipe.data.channel_order))),
        ("resolution_px", Some(recipe.data.resolution_px.to_string())),
        ("resize_px", resize_px.map(|side| side.to_string())),
        ("crop_px", Some(crop_px.to_string())),
        ("interpolation", Some(recipe_value(&filter))),
        ("antialias", Some(antialias.to_string())),
        ("weights", Some(weights.name().to_owned())),
        ("step", Some(step.to_string())),
    ];
    entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// Returns whether the network expects blue first.
pub(super) fn is_bgr(data: &DataSettings) -> bool {
    data.channel_order == ChannelOrder::Bgr
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain values")
}
