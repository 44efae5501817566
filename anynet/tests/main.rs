//! What the crate promises: the published networks, the book's network, clear refusals, the generator's laws.

use regatta_anynet::{Network, Stage};

mod generator;

mod published;

mod regnetx32;

mod refusals;

/// A network of the paper at ImageNet's channels and classes.
fn imagenet(stages: Vec<Stage>) -> Network {
    Network { in_channels: 3, stem_width: 32, stages, classes: 1000, conv_bias: false }
}
