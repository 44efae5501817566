//! Lines of `results.jsonl`.

use regatta_anynet::regnetx32;
use regatta_sweep::{Budget, End, TrialResult};

/// A result without epochs.
pub(crate) fn result(id: &str, end: End) -> TrialResult {
    TrialResult {
        schema: Default::default(),
        id: id.into(),
        space: "regnet_x".into(),
        sample: 0,
        sampling_seed: 1,
        training_seed: 0,
        set: vec![("train.seed".into(), "0".into())],
        network: regnetx32(1, 10),
        generator: None,
        drawn: Default::default(),
        resolution_px: 28,
        flops: 4_000_000,
        params: 179_290,
        activations: 100_000,
        budget: Budget { epochs: 1, schedule_epochs: 1 },
        epochs: Vec::new(),
        end,
        seconds: 1.5,
        attempts: 1,
        ranks: 1,
        host: "host".into(),
        ended_at: "2026-01-01T00:00:00Z".into(),
        versions: Default::default(),
    }
}

#[test]
fn a_network_that_diverged_has_the_error_of_guessing() {
    assert_eq!(
        result("regnet_x-000", End::Diverged { cause: "the loss is not finite".into() }).error(),
        Some(0.9)
    );
    assert_eq!(result("regnet_x-000", End::Failed { cause: "killed".into(), exit_code: 137 }).error(), None);
    assert_eq!(result("regnet_x-000", End::Done).error(), None, "no epoch was evaluated");
}

#[test]
fn a_line_is_read_back_as_it_was_written() {
    let written = result("regnet_x-000", End::Done);
    let line = serde_json::to_string(&written).unwrap();
    assert_eq!(serde_json::from_str::<TrialResult>(&line).unwrap(), written);
}
