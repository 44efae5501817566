//! `launcher sweep status`: what is done, running and failed, the time left and the best network so far.

use std::path::PathBuf;

use anyhow::Result;
use regatta_run_folder::{ExitCode, duration, print_output};
use regatta_sweep::{Claim, End, Lock, Plan, SweepFolder, TrialResult, claims, results};
use serde::Serialize;

use super::progress::{best, epochs_done};
use super::{open, plan};

/// Options of `launcher sweep status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusCommand {
    /// The folder of the sweep
    sweep: PathBuf,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// The state of a sweep.
#[derive(Debug, Serialize)]
struct Status {
    /// Name of the sweep.
    name: String,
    /// Number of results that it will have; none of a search, which decides as it goes.
    planned: Option<usize>,
    /// Number of results of networks that were trained to the end of their budget.
    done: usize,
    /// Number of networks that diverged.
    diverged: usize,
    /// Trials that failed, with the cause.
    failed: Vec<Failed>,
    /// Trials that are being trained.
    running: Vec<RunningTrial>,
    /// Estimate of the time left, in seconds, with as many runs at once as now.
    seconds_left: Option<f64>,
    /// The network with the smallest error.
    best: Option<Best>,
    /// Results of each space.
    spaces: Vec<SpaceStatus>,
}

#[derive(Debug, Serialize)]
struct Failed {
    id: String,
    cause: String,
    exit_code: i32,
}

#[derive(Debug, Serialize)]
struct RunningTrial {
    id: String,
    /// Epochs done, and the budget.
    epoch: u64,
    epochs: u64,
    host: String,
    process_id: u32,
}

#[derive(Debug, Serialize)]
struct Best {
    id: String,
    error: f64,
    flops: u64,
}

#[derive(Debug, Serialize)]
struct SpaceStatus {
    name: String,
    results: usize,
    best_error: Option<f64>,
}

/// Prints the state of a sweep.
///
/// # Errors
/// If the folder is not that of a sweep, or cannot be read.
pub(crate) fn status(command: &StatusCommand) -> Result<u8> {
    let (folder, file) = open(&command.sweep)?;
    let plan = plan(&folder, &file)?;
    let known = results::read(&folder.results())?;
    let running = match folder.claims().is_dir() {
        true => claims::in_force(&folder, &Lock::acquire(&folder.lock())?)?,
        false => Vec::new(), // a copy of the sweep, without runs
    };
    let status = Status::of(&folder, &plan, &known, &running);
    match command.json {
        true => print_output(serde_json::to_string_pretty(&status)?)?,
        false => print_output(status.text())?,
    }
    Ok(ExitCode::Done.code() as u8)
}

impl Status {
    fn of(folder: &SweepFolder, plan: &Plan, known: &[TrialResult], claims: &[Claim]) -> Self {
        let planned = plan.search().is_none().then(|| plan.trials().len());
        let failed = known.iter().filter_map(|result| match &result.end {
            End::Failed { cause, exit_code } => {
                Some(Failed { id: result.id.clone(), cause: cause.clone(), exit_code: *exit_code })
            }
            _ => None,
        });
        let space = |name: String| {
            let own = || known.iter().filter(|it| it.space == name);
            let best_error = best(own()).map(|(_, error)| error);
            SpaceStatus { results: own().count(), best_error, name: name.clone() }
        };
        Self {
            name: folder.name(),
            planned,
            done: known.iter().filter(|it| it.end == End::Done).count(),
            diverged: known.iter().filter(|it| matches!(it.end, End::Diverged { .. })).count(),
            failed: failed.collect(),
            running: claims.iter().map(|claim| RunningTrial::of(folder, claim)).collect(),
            seconds_left: planned.and_then(|planned| seconds_left(known, planned, claims.len())),
            best: best(known).map(|(it, error)| Best { id: it.id.clone(), error, flops: it.flops }),
            spaces: plan.file().names().into_iter().map(space).collect(),
        }
    }

    fn text(&self) -> String {
        let of = self.planned.map_or_else(String::new, |planned| format!(" of {planned}"));
        let mut lines = vec![format!(
            "{}: {}{of} done, {} diverged, {} failed, {} running",
            self.name,
            self.done,
            self.diverged,
            self.failed.len(),
            self.running.len()
        )];
        lines.extend(self.seconds_left.map(|seconds| format!("time left: about {}", duration(seconds))));
        lines.extend(
            self.best
                .as_ref()
                .map(|it| format!("best: {} with error {:.4}, {} multiply-adds", it.id, it.error, it.flops)),
        );
        for space in &self.spaces {
            let best = space.best_error.map_or_else(String::new, |error| format!(", best error {error:.4}"));
            lines.push(format!("  {}: {} results{best}", space.name, space.results));
        }
        for it in &self.running {
            lines.push(format!(
                "running: {} epoch {}/{} on {} (process {})",
                it.id, it.epoch, it.epochs, it.host, it.process_id
            ));
        }
        lines.extend(
            self.failed
                .iter()
                .map(|it| format!("failed: {} (exit code {}): {}", it.id, it.exit_code, it.cause)),
        );
        lines.join("\n")
    }
}

impl RunningTrial {
    fn of(folder: &SweepFolder, claim: &Claim) -> Self {
        let epoch = epochs_done(folder, &claim.id);
        let Claim { id, epochs, owner } = claim.clone();
        Self { id, epoch, epochs, host: owner.host, process_id: owner.process_id }
    }
}

/// Estimates the time left from the mean time of a result.
fn seconds_left(known: &[TrialResult], planned: usize, at_once: usize) -> Option<f64> {
    let mean = known.iter().map(|it| it.seconds).sum::<f64>() / known.len() as f64;
    let left = planned.saturating_sub(known.len()) as f64;
    (!known.is_empty() && at_once > 0 && left > 0.0).then(|| mean * left / at_once as f64)
}
