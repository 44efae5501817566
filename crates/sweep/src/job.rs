//! Which trial a launcher trains next: a pure function of the plan, the results and the claims in force.

use std::collections::{BTreeMap, BTreeSet};

use crate::claims::Claim;
use crate::plan::{Plan, Trial};
use crate::result::{End, TrialResult};
use crate::search::{Next, Running, TrialState};

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Train a trial up to this number of epochs.
    Train(Trial, u64),
    /// Nothing at the moment: others train what is left.
    Wait,
    /// Nothing more: every trial has a result.
    Finished,
}

/// The trials that failed before, by name with the time of their end: they are trained again.
pub type Retried = BTreeSet<(String, String)>;

/// Returns the failures among the results.
pub fn failures(results: &[TrialResult]) -> Retried {
    let failed = results.iter().filter(|result| matches!(result.end, End::Failed { .. }));
    failed.map(|result| (result.id.clone(), result.ended_at.clone())).collect()
}

/// Decides what to do next; failures in `retried` do not count as results.
pub fn next(plan: &Plan, results: &[TrialResult], claims: &[Claim], retried: &Retried) -> Work {
    let counts = |result: &&TrialResult| !retried.contains(&(result.id.clone(), result.ended_at.clone()));
    let results: Vec<&TrialResult> = results.iter().filter(counts).collect();
    match plan.search() {
        Some(search) => {
            let state = |result: &&TrialResult| TrialState {
                sample: result.sample,
                epochs: result.budget.epochs,
                error: result.error(),
            };
            let samples: BTreeMap<String, u64> =
                plan.trials().into_iter().map(|trial| (plan.id(trial), trial.sample)).collect();
            let running =
                |claim: &Claim| Some(Running { sample: *samples.get(&claim.id)?, epochs: claim.epochs });
            let states: Vec<_> = results.iter().map(state).collect();
            let running: Vec<_> = claims.iter().filter_map(running).collect();
            match search.next(&states, &running) {
                Next::Start { sample, epochs } | Next::Promote { sample, epochs } => {
                    Work::Train(Trial { space: 0, sample, seed: 0 }, epochs)
                }
                Next::Wait => Work::Wait,
                Next::Finished => Work::Finished,
            }
        }
        None => next_of_study(plan, &results, claims),
    }
}

fn next_of_study(plan: &Plan, results: &[&TrialResult], claims: &[Claim]) -> Work {
    let has_result: BTreeSet<(&str, u64)> =
        results.iter().map(|result| (result.id.as_str(), result.budget.epochs)).collect();
    let claimed: BTreeSet<&str> = claims.iter().map(|claim| claim.id.as_str()).collect();
    let mut work = Work::Finished;
    for trial in plan.trials() {
        let (id, epochs) = (plan.id(trial), plan.epochs(trial.space));
        if has_result.contains(&(id.as_str(), epochs)) {
            continue;
        }
        if !claimed.contains(id.as_str()) {
            return Work::Train(trial, epochs);
        }
        work = Work::Wait;
    }
    work
}
