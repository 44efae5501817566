//! Shows how far a sweep is: a line for each result, and on a terminal a bar with the time left.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use regatta_run_folder::{Record, counted, duration, last_record};
use regatta_sweep::{End, Plan, SweepFolder, TrialResult};

use crate::failure::print_status;

/// Interval at which the bar is redrawn.
const REDRAW: Duration = Duration::from_millis(500);

/// The progress of a sweep as one launcher sees it.
pub(crate) struct Progress {
    folder: SweepFolder,
    bar: ProgressBar,
    /// Number of results that the sweep will have; none of a search, which decides as it goes.
    planned: Option<usize>,
    slots: usize,
    /// Results so far, of all launchers.
    known: Vec<TrialResult>,
    begun: Instant,
    /// Results of this start.
    recorded: usize,
    shown: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(folder: &SweepFolder, plan: &Plan, slots: usize, known: &[TrialResult]) -> Self {
        let planned = plan.search().is_none().then(|| plan.trials().len());
        let style = ProgressStyle::with_template("{bar:24} {msg}");
        let bar = ProgressBar::with_draw_target(planned.map(|it| it as u64), ProgressDrawTarget::stderr());
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let open = planned.map_or_else(String::new, |planned| format!(" of {planned}"));
        print_status(format_args!(
            "{}: {}{open} have results; {} at once",
            folder.path().display(),
            counted(known.len(), "network"),
            counted(slots, "run")
        ));
        Self {
            folder: folder.clone(),
            bar,
            planned,
            slots,
            known: known.to_vec(),
            begun: Instant::now(),
            recorded: 0,
            shown: None,
        }
    }

    /// Takes over the results that the sweep has now, also those of other launchers.
    pub(crate) fn note_known(&mut self, known: Vec<TrialResult>) {
        self.known = known;
    }

    /// Reports a result of this launcher.
    pub(crate) fn record(&mut self, result: &TrialResult) {
        self.recorded += 1;
        self.known.retain(|it| (&it.id, it.budget) != (&result.id, result.budget));
        self.known.push(result.clone());
        let (epochs, time) = (counted(result.budget.epochs, "epoch"), duration(result.seconds));
        let what = match (&result.end, result.error()) {
            (End::Done, Some(error)) => format!("error {error:.4} after {epochs}, {time}"),
            (End::Done, None) => format!("{epochs}, not evaluated"),
            (End::Diverged { cause }, _) => format!("diverged: {cause}"),
            (End::Failed { cause, .. }, _) => format!("failed: {cause}"),
        };
        let line = format!("{}: {what} ({})", result.id, self.summary());
        self.bar.suspend(|| print_status(line));
    }

    /// Redraws the bar; `training` has the name and the budget in epochs of each run.
    pub(crate) fn show<'a>(&mut self, training: impl Iterator<Item = (&'a str, u64)>) {
        if self.bar.is_hidden() || self.shown.is_some_and(|shown| shown.elapsed() < REDRAW) {
            return;
        }
        self.shown = Some(Instant::now());
        let running: Vec<String> =
            training.map(|(id, epochs)| format!("{id} {}/{epochs}", epochs_done(&self.folder, id))).collect();
        let left = self.left().map_or_else(String::new, |left| format!(", {left} left"));
        self.bar.set_position(self.known.len() as u64);
        self.bar.set_message(format!("{}{left} | {}", self.summary(), running.join(", ")));
    }

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Summarises the results.
    pub(crate) fn summary(&self) -> String {
        summary(&self.known, self.planned)
    }

    /// Estimates the time left from the rate of this start.
    fn left(&self) -> Option<String> {
        let left = self.planned?.saturating_sub(self.known.len());
        // The first round of runs says too little.
        (self.recorded >= self.slots)
            .then(|| duration(self.begun.elapsed().as_secs_f64() / self.recorded as f64 * left as f64))
    }
}

/// Summarises results: how many, failures, and the best.
pub(crate) fn summary(known: &[TrialResult], planned: Option<usize>) -> String {
    let count = |is: fn(&End) -> bool| known.iter().filter(|it| is(&it.end)).count();
    let mut parts = vec![match planned {
        Some(planned) => format!("{} of {planned} done", known.len()),
        None => format!("{} done", counted(known.len(), "result")),
    }];
    let diverged = count(|end| matches!(end, End::Diverged { .. }));
    let failed = count(|end| matches!(end, End::Failed { .. }));
    parts.extend((diverged > 0).then(|| format!("{diverged} diverged")));
    parts.extend((failed > 0).then(|| format!("{failed} failed")));
    parts.extend(best(known).map(|(best, error)| format!("best error {error:.4} ({})", best.id)));
    parts.join(", ")
}

/// Returns the number of epochs that a run has done.
pub(crate) fn epochs_done(folder: &SweepFolder, id: &str) -> u64 {
    match last_record(&folder.run(id).metrics()) {
        Some(Record::Step(record)) => record.epoch - 1,
        Some(Record::Epoch(record)) => record.epoch,
        None => 0,
    }
}

/// Returns the result with the smallest error, and the error.
pub(crate) fn best<'a>(known: impl IntoIterator<Item = &'a TrialResult>) -> Option<(&'a TrialResult, f64)> {
    let with_error = known.into_iter().filter_map(|result| Some((result, result.error()?)));
    with_error.min_by(|(_, a), (_, b)| a.total_cmp(b))
}
