//! Memory for training, compared with sums by hand.

use regatta_anynet::{BlockKind, Elements, Memory, Network, Stage, Stem, regnetx32};

const FP32: Elements = Elements { weight_bytes: 4, activation_bytes: 4, optimizer_states: 1 };

#[test]
fn regnetx32_adds_up_by_hand() {
    // Of one image, elements: the stem at 48x48; s1 at 24x24 but its first convolution, at 48x48; s2 at 12x12 but its
    // first, at 24x24. Projections count once, every other convolution with its ReLU twice.
    let (stem, s1_wide, s1) = (32 * 48 * 48, 32 * 48 * 48, 11 * 32 * 24 * 24);
    let (s2_wide, s2) = (80 * 24 * 24, 17 * 80 * 12 * 12);
    let projections = 32 * 24 * 24 + 80 * 12 * 12;
    let kept = 2 * (stem + s1_wide + s1 + s2_wide + s2) + projections;
    let weights = 4 * 179_290;
    let summary = regnetx32(1, 10).summary(64, 96, 96).unwrap();
    let expected = Memory {
        weights,
        gradients: weights,
        optimizer: weights,
        forward: 64 * 4 * (96 * 96 + kept),
        backward: 64 * 4 * 2 * stem,
    };
    assert_eq!(summary.memory(FP32), expected);
    let adamw = summary.memory(Elements { optimizer_states: 2, ..FP32 });
    assert_eq!(adamw, Memory { optimizer: 2 * weights, ..expected });
    let bf16 = summary.memory(Elements { activation_bytes: 2, ..FP32 });
    let images = 64 * 4 * 96 * 96;
    assert_eq!(bf16.backward, expected.backward / 2);
    assert_eq!(bf16.forward - images - weights / 2, (expected.forward - images) / 2);
}

#[test]
fn norms_have_two_numbers_a_channel() {
    let channels = 32 + 4 * 3 * 32 + 6 * 3 * 80 + 32 + 80;
    assert_eq!(regnetx32(1, 10).summary(1, 96, 96).unwrap().statistics_elements(), 2 * channels);
}

#[test]
fn max_pooling_keeps_indices_for_backward() {
    let stages = vec![Stage::plain(1, 8, 1)];
    let (block, stem) = (BlockKind::Vanilla, Stem::Resnet);
    let network = Network { block, stem, stem_width: 8, ..Network::of_stages(stages, 10) };
    let summary = network.summary(1, 32, 32).unwrap();
    // The stem's convolution and ReLU at 16x16, the pool at 8x8 and two convolutions with their ReLUs.
    let (stem, body) = (2 * 8 * 16 * 16, 4 * 8 * 8 * 8);
    let pool = 8 * 8 * 8;
    assert_eq!(summary.memory(FP32).forward, 4 * (3 * 32 * 32 + stem + body + pool) + 8 * pool);
}
