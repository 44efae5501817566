//! Small sets of results.

use regatta_anynet::space::draw_regnet_parameters;
use regatta_anynet::{Network, Rounding, SplitMix64};
use regatta_run_folder::EpochRecord;
use regatta_sweep::analysis::SweepResults;
use regatta_sweep::{Budget, End, Mode, TrialResult};

/// Returns the result of a network of the RegNet rule with the given error after `epochs` epochs. Equal numbers give equal
/// networks.
pub(crate) fn trained(space: &str, sample: u64, seed: u64, epochs: u64, error: f64) -> TrialResult {
    let mut random = SplitMix64::new(sample + 1);
    let (generator, stages) = loop {
        let generator = draw_regnet_parameters(&mut random, 0.25);
        match generator.stages(Rounding::Pycls) {
            Ok(stages) if stages.len() == 4 => break (generator, stages),
            _ => {}
        }
    };
    let network = Network::of_stages(stages, 10);
    let summary = network.summary(1, 32, 32).unwrap();
    TrialResult {
        schema: Default::default(),
        id: format!("{space}-{sample:03}-s{seed}"),
        space: space.into(),
        sample,
        sampling_seed: 1,
        training_seed: seed,
        set: Vec::new(),
        network,
        generator: Some(generator),
        drawn: Default::default(),
        resolution_px: 32,
        flops: summary.flops,
        params: summary.params,
        activations: summary.activations,
        budget: Budget { epochs, schedule_epochs: epochs },
        epochs: (1..=epochs)
            .map(|epoch| row(epoch, 1.0 - error - 0.3 / epoch as f64 + 0.3 / epochs as f64))
            .collect(),
        end: End::Done,
        seconds: 30.0,
        attempts: 1,
        ranks: 1,
        host: "host".into(),
        ended_at: format!("2026-01-01T00:{:02}:{:02}Z", sample % 60, epochs % 60),
        versions: Default::default(),
    }
}

pub(crate) fn diverged(result: TrialResult) -> TrialResult {
    TrialResult {
        end: End::Diverged { cause: "the loss is not finite".into() },
        epochs: Vec::new(),
        ..result
    }
}

pub(crate) fn failed(result: TrialResult) -> TrialResult {
    TrialResult { end: End::Failed { cause: "killed".into(), exit_code: 137 }, epochs: Vec::new(), ..result }
}

pub(crate) fn study(name: &str, planned: u64, results: Vec<TrialResult>) -> SweepResults {
    let command = format!("launcher sweep analyze {name} --out analysis");
    SweepResults { name: name.into(), mode: Mode::Study, planned, spaces: Vec::new(), command, results }
}

/// Returns a study of two spaces with `networks` networks each, all errors of the second a percentage point below the first's.
pub(crate) fn two_spaces(networks: u64) -> SweepResults {
    let error = |sample: u64| 0.10 + 0.002 * ((sample * 7) % networks) as f64;
    let first = (0..networks).map(|sample| trained("wide", sample, 0, 3, error(sample)));
    let second = (0..networks).map(|sample| trained("good", sample, 0, 3, error(sample) - 0.01));
    study("two", 2 * networks, first.chain(second).collect())
}

/// Returns a search with successive halving of eight samples: budgets of 1, 2 and 4 epochs.
pub(crate) fn halving(name: &str) -> SweepResults {
    let mut results = Vec::new();
    for (epochs, samples) in [(1, 8), (2, 4), (4, 2)] {
        let error = |sample: u64| 0.3 / epochs as f64 + 0.01 * sample as f64;
        results.extend((0..samples).map(|sample| TrialResult {
            ended_at: format!("2026-01-01T0{epochs}:00:{sample:02}Z"),
            id: format!("all-{sample:03}"),
            ..trained("all", sample, 0, epochs, error(sample))
        }));
    }
    SweepResults { mode: Mode::Search, ..study(name, 8, results) }
}

fn row(epoch: u64, top1: f64) -> EpochRecord {
    EpochRecord {
        epoch,
        step: 100 * epoch,
        images: 6_400 * epoch,
        train_loss: 0.5,
        train_top1: top1,
        bad_images: None,
        val_loss: Some(0.5),
        val_top1: Some(top1),
        val_top5: None,
        val_raw_top1: None,
        images_per_second: 1000.0,
        seconds: 6.0,
        peak_rss_mib: 100.0,
    }
}
