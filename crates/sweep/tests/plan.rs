//! Plans: the names, the order and the recipes of trials, and what is trained next.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regatta_sweep::{Claim, End, Owner, Plan, SweepFile, Trial, TrialResult, Work, job};

use tempfile::TempDir;

use crate::result::result;

const RECIPE: &str = r#"
[data]
dataset = "synthetic"
resolution_px = 16
synthetic_train_images = 64
synthetic_val_images = 32
synthetic_channels = 1
synthetic_classes = 4
[train]
epochs = 9
global_batch_size = 16
seed = 100
[optim]
name = "sgd"
lr = 0.1
"#;

const STUDY: &str = r#"
mode = "study"
recipe = "recipe.toml"
samples = 2
seeds_per_sample = 2
samples_with_all_seeds = 1
set = ["optim.momentum=0.5"]

[limits]
flops = [100_000, 900_000]

[[space]]
draw = "anynet_x_a"

[[space]]
name = "RegNetX, drawn rates"
draw = "regnet_x"
sample = { "optim.lr" = { log_uniform = [0.01, 1.0] } }
"#;

/// Plans a sweep of a recipe, which lies in the returned folder and is read again for each trial.
fn plan_with(sweep: &str, recipe: &str) -> Result<(TempDir, Plan), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    std::fs::write(&path, recipe).unwrap();
    let file = SweepFile::parse(Path::new("s.toml"), sweep).unwrap();
    let plan = Plan::new(&file, path, Vec::new());
    plan.map(|plan| (folder, plan)).map_err(|error| regatta_run_folder::describe(&error))
}

fn plan(sweep: &str) -> (TempDir, Plan) {
    plan_with(sweep, RECIPE).unwrap()
}

#[test]
fn spaces_take_turns_and_further_seeds_come_last() {
    let (_folder, plan) = plan(STUDY);
    let ids: Vec<String> = plan.trials().into_iter().map(|trial| plan.id(trial)).collect();
    assert_eq!(
        ids,
        [
            "anynet_x_a-000",
            "regnetx__drawn_rates-000",
            "anynet_x_a-001",
            "regnetx__drawn_rates-001",
            "anynet_x_a-000-s1",
            "regnetx__drawn_rates-000-s1",
        ]
    );
    assert!(plan.trials().into_iter().all(|trial| plan.find(&plan.id(trial)) == Some(trial)));
    assert_eq!(plan.find("anynet_x_a-002"), None);
}

#[test]
fn a_trial_has_a_complete_recipe() {
    let (_folder, plan) = plan(STUDY);
    let prepared = plan.prepare(Trial { space: 1, sample: 0, seed: 1 }, 9).unwrap();
    let recipe = &prepared.recipe;
    assert_eq!((recipe.train.seed, recipe.train.epochs, recipe.schedule.epochs), (101, 9, 9));
    let network = prepared.network();
    let summary = network.summary(1, 16, 16).unwrap();
    assert!((100_000..=900_000).contains(&summary.flops));
    let rate = prepared.drawn["optim.lr"].as_f64().unwrap();
    assert!((0.01..=1.0).contains(&rate) && prepared.options().contains(&format!("optim.lr={rate}")));
    assert!(prepared.options().contains(&"optim.momentum=0.5".to_owned()));
    let generator = prepared.generator.expect("a RegNet");
    assert_eq!(generator.depth, network.stages.iter().map(|stage| stage.depth).sum::<i64>());
    // Another seed trains the same network.
    assert_eq!(plan.prepare(Trial { space: 1, sample: 0, seed: 0 }, 9).unwrap().network(), network);
}

#[test]
fn a_space_keeps_its_networks_when_the_sweep_grows() {
    let (_folder, few) = plan(STUDY);
    let (_other, more) = plan(
        &STUDY
            .replace(
                "[[space]]\ndraw = \"anynet_x_a\"",
                "[[space]]\ndraw = \"mlp\"\nlimits = {}\n\n[[space]]\ndraw = \"anynet_x_a\"",
            )
            .replace("samples = 2", "samples = 5"),
    );
    for sample in 0..2 {
        let network =
            |plan: &Plan, space| plan.prepare(Trial { space, sample, seed: 0 }, 9).unwrap().network();
        assert_eq!(network(&few, 0), network(&more, 1));
        assert_eq!(network(&few, 1), network(&more, 2));
    }
    let networks: BTreeSet<String> = (0..5)
        .map(|sample| {
            format!("{:?}", more.prepare(Trial { space: 1, sample, seed: 0 }, 9).unwrap().network())
        })
        .collect();
    assert_eq!(networks.len(), 5, "samples differ");
}

#[test]
fn recipes_that_cannot_be_swept_are_refused() {
    let refused = |sweep: &str, recipe: &str, expected: &str| {
        let error = plan_with(sweep, recipe)
            .map(|(_folder, plan)| plan.check().map_err(|error| regatta_run_folder::describe(&error)));
        let error = error.and_then(|checked| checked).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    let arch = format!("{RECIPE}\n[model]\narch = \"regnetx_200mf\"\n");
    refused(
        STUDY,
        &arch,
        "model.arch and model.anynet are set, but each of them specifies a complete network",
    );
    refused(
        STUDY,
        &RECIPE.replace("epochs = 9", "epochs = 9\nmax_steps = 5"),
        "train.max_steps is set in the recipe of a sweep",
    );
    refused(
        &STUDY.replace("[100_000, 900_000]", "[1, 9]"),
        RECIPE,
        "the space \"anynet_x_a\": no network of anynet_x_a has flops from 1 to 9",
    );
    let search = SEARCH.replace("min_epochs = 1", "min_epochs = 9");
    refused(&search, RECIPE, "[search]: min_epochs is 9, must be below max_epochs (9)");
}

const SEARCH: &str = r#"
mode = "search"
recipe = "recipe.toml"
samples = 9

[search]
method = "asha"
min_epochs = 1

[[space]]
draw = "regnet_x"
"#;

/// The result of a trial with an error.
fn done(plan: &Plan, trial: Trial, epochs: u64) -> TrialResult {
    let mut result = TrialResult { sample: trial.sample, ..result(&plan.id(trial), End::Done) };
    result.budget.epochs = epochs;
    result
}

fn claim(plan: &Plan, trial: Trial, epochs: u64) -> Claim {
    Claim { id: plan.id(trial), epochs, owner: Owner::here() }
}

#[test]
fn a_study_trains_what_has_no_result_and_no_claim() {
    let (_folder, plan) = plan(STUDY);
    let trials = plan.trials();
    let next =
        |results: &[TrialResult], claims: &[Claim]| job::next(&plan, results, claims, &Default::default());
    assert_eq!(next(&[], &[]), Work::Train(trials[0], 9));
    let first = done(&plan, trials[0], 9);
    assert_eq!(next(std::slice::from_ref(&first), &[]), Work::Train(trials[1], 9));
    assert_eq!(next(&[first], &[claim(&plan, trials[1], 9)]), Work::Train(trials[2], 9));
    let all: Vec<_> = trials.iter().map(|&trial| done(&plan, trial, 9)).collect();
    assert_eq!(next(&all, &[]), Work::Finished);
    assert_eq!(next(&all[..5], &[claim(&plan, trials[5], 9)]), Work::Wait);
}

#[test]
fn failures_are_results_until_they_are_retried() {
    let (_folder, plan) = plan(STUDY);
    let trials = plan.trials();
    let mut all: Vec<_> = trials.iter().map(|&trial| done(&plan, trial, 9)).collect();
    all[3].end = End::Failed { cause: "killed".into(), exit_code: 137 };
    assert_eq!(job::next(&plan, &all, &[], &Default::default()), Work::Finished);
    let retried = job::failures(&all);
    assert_eq!(job::next(&plan, &all, &[], &retried), Work::Train(trials[3], 9));
    all[3].ended_at = "2026-01-01T00:00:01Z".into();
    assert_eq!(job::next(&plan, &all, &[], &retried), Work::Finished, "it failed again");
}

#[test]
fn a_search_starts_and_promotes() {
    let (_folder, plan) = plan(SEARCH);
    let trial = |sample| Trial { space: 0, sample, seed: 0 };
    let next =
        |results: &[TrialResult], claims: &[Claim]| job::next(&plan, results, claims, &Default::default());
    assert_eq!(next(&[], &[]), Work::Train(trial(0), 1));
    assert_eq!(next(&[], &[claim(&plan, trial(0), 1)]), Work::Train(trial(1), 1));
    let mut results: Vec<_> = (0..3).map(|sample| done(&plan, trial(sample), 1)).collect();
    // Networks that diverged have an error, too: the smallest number is the best of equals.
    results.iter_mut().for_each(|it| it.end = End::Diverged { cause: "loss".into() });
    assert_eq!(next(&results, &[]), Work::Train(trial(0), 3));
    let prepared = plan.prepare(trial(0), 3).unwrap();
    assert_eq!((prepared.recipe.train.epochs, prepared.recipe.schedule.epochs), (3, 9));
}

#[test]
fn every_shipped_sweep_has_networks() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/sweeps");
    let mut sweeps = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if std::fs::read_to_string(&path).unwrap().lines().all(|line| !line.starts_with("mode = ")) {
            continue; // a recipe
        }
        let file = SweepFile::read(&path).unwrap();
        Plan::new(&file, folder.join(&file.recipe), Vec::new()).unwrap().check().unwrap();
        sweeps += 1;
    }
    assert!(sweeps >= 8, "{sweeps}");
}
