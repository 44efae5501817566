//! Compares built networks with their descriptions: tensors, shapes and multiply-adds.

use regatta_anynet::space::{Input, Limits, Sampler, Space};
use regatta_anynet::{BlockKind, Init, Network, Rounding, Stage, Stem, zoo};
use regatta_model::Mode;
use tch::Tensor;

use crate::{FP32, Fixture};

/// Counts a built network and compares it with its summary: parameters from the tensors, multiply-adds and activations from the
/// sizes of the layers' outputs.
fn count_again(network: &Network, side: i64) {
    // Two such tests at once, with as many threads as cores each, wait for each other.
    tch::set_num_threads(1);
    let fixture = Fixture::new(network, Init::HeFanOut);
    let summary = network.summary(2, side, side).unwrap();
    let elements: usize = fixture.parameters.iter().map(Tensor::numel).sum();
    assert_eq!(elements as u64, summary.params, "{network:?}");

    let weights: std::collections::HashMap<_, _> =
        network.parameters().into_iter().map(|it| it.name).zip(&fixture.parameters).collect();
    let weight = |layer: &str, kind: &str| weights.get(&format!("{layer}.{kind}"));
    let images = Tensor::rand([2, network.in_channels, side, side], FP32);
    let (mut flops, mut activations) = (0, 0);
    let mut observe = |layer: &str, output: &Tensor| {
        if let Some(row) = summary.rows.iter().find(|row| row.name == layer) {
            assert_eq!(output.size(), row.output_shape, "{layer}");
        }
        let is_counted = weight(layer, "weight").is_some_and(|weight| weight.dim() > 1);
        if is_counted {
            let outputs = output.numel() as u64 / 2;
            let pixels = outputs / output.size()[1] as u64;
            let both = ["weight", "bias"].map(|kind| weight(layer, kind).map_or(0, |it| it.numel() as u64));
            flops += pixels * (both[0] + both[1]);
            activations += outputs;
        }
    };
    _ = tch::no_grad(|| fixture.model.forward_observed(&images, Mode::Training, &mut observe));
    assert_eq!((flops, activations), (summary.flops, summary.activations), "{network:?}");
}

#[test]
fn every_kind_of_block_and_stem_matches_its_summary() {
    let stages = vec![Stage::plain(2, 16, 2), Stage::plain(1, 24, 1)];
    for block in [BlockKind::Resnext, BlockKind::ResnetBasic, BlockKind::Vanilla] {
        for (stem, conv_bias) in [(Stem::Simple, true), (Stem::Resnet, false), (Stem::Cifar, true)] {
            let network =
                Network { block, stem, conv_bias, dropout: 0.5, ..Network::of_stages(stages.clone(), 10) };
            count_again(&network, 40);
        }
    }
    let stages = vec![Stage::plain(2, 64, 1), Stage::plain(1, 32, 1)];
    let (block, stem, stem_width) = (BlockKind::Mlp, Stem::Flatten, 3 * 12 * 12);
    count_again(&Network { block, stem, stem_width, ..Network::of_stages(stages, 10) }, 12);
}

#[test]
fn published_networks_match_their_summaries() {
    let of_paper = zoo::published().iter().filter(|it| it.top1_error.is_some());
    for published in of_paper {
        count_again(&published.network(Rounding::Pycls, 1000).unwrap(), 32);
    }
}

/// Checks twenty networks from each of the twelve design spaces.
#[test]
fn sampled_networks_match_their_summaries() {
    let input = Input { channels: 3, classes: 10, side: 32 };
    let limits = Limits { params: Some(0..=3_000_000), flops: Some(0..=100_000_000), ..Limits::default() };
    for space in Space::ALL {
        let sampler = Sampler::new(space, input, limits.clone(), 5).unwrap();
        for network in sampler.networks().take(20) {
            count_again(&network.unwrap(), input.side);
        }
    }
}

#[test]
fn dropout_applies_only_in_training_and_is_seeded() {
    let stages = vec![Stage::plain(1, 64, 2)];
    let network = Network { dropout: 0.5, ..Network::of_stages(stages, 10) };
    let fixture = Fixture::new(&network, Init::HeFanOut);
    let images = Tensor::rand([4, 3, 16, 16], FP32);
    let logits = |mode, seed| {
        tch::manual_seed(seed);
        fixture.model.forward(&images, mode)
    };
    assert!(logits(Mode::Training, 1).equal(&logits(Mode::Training, 1)));
    assert!(!logits(Mode::Training, 1).equal(&logits(Mode::Training, 2)));
    assert!(logits(Mode::Evaluation, 1).equal(&logits(Mode::Evaluation, 2)));
}
