//! Tests of the design spaces: their principles, distributions and limits, and the statistics of trained samples.

use regatta_anynet::space::{Input, Limits, Sampler, Space};
use regatta_anynet::{Network, Stage};

mod statistic;

mod distribution;

mod principles;

mod marginals;

mod golden;

mod limits;

mod replacements;

mod edf;

const IMAGENET: Input = Input { channels: 3, classes: 1000, side: 224 };
const CIFAR: Input = Input { channels: 3, classes: 10, side: 32 };

/// Networks of `space`, of whatever cost.
fn networks(space: Space, seed: u64, count: usize) -> Vec<Network> {
    let sampler =
        Sampler::new(space, CIFAR, Limits::default(), seed).expect("an input that every space takes");
    sampler.networks().take(count).collect::<Result<_, _>>().expect("nothing is limited")
}

/// One value of each stage.
fn of_stages<T>(network: &Network, value: impl Fn(&Stage) -> T) -> Vec<T> {
    network.stages.iter().map(value).collect()
}
