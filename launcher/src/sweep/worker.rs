//! Trains the networks of a sweep: takes the next trial for each free place, records what came out, and stops on request.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use regatta_run_folder::{ExitCode, StorageError, counted, describe};
use regatta_sweep::{
    Claim, End, Lock, Owner, Plan, Prepared, Trial, TrialResult, Work, claims, job, results,
};

use super::outcome::{self, Ended};
use super::progress::Progress;
use super::runs::{Run, RunStarter};
use super::slots::Slot;
use crate::failure::print_status;
use crate::stop::StopSignals;

/// Interval at which runs and signals are polled.
const POLL: Duration = Duration::from_millis(20);
/// Interval at which a launcher without work looks whether others gave some back.
const WORK_POLL: Duration = Duration::from_secs(2);
/// Number of failures in a row, without any success, after which the cause is unlikely to be the networks'.
const MAX_FAILURES_IN_A_ROW: usize = 3;

/// A launcher at work on a sweep.
pub(crate) struct Worker<'a> {
    pub(crate) starter: RunStarter<'a>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) plan: &'a Plan,
    /// Whether failures of earlier starts are trained again.
    pub(crate) retry: bool,
    /// Whether it waits while other launchers train all that is left: they may fail, or a search may promote more.
    pub(crate) waits: bool,
    /// Whether folders of recorded runs are removed.
    pub(crate) prune: bool,
}

/// A trial that is being trained.
struct Training {
    trial: Trial,
    prepared: Prepared,
    claim: Claim,
    run: Run,
    /// Whether another launcher took the claim over, so that the run is given up.
    is_lost: bool,
}

/// What changes while a launcher works.
struct State {
    stop: StopSignals,
    owner: Owner,
    training: Vec<Option<Training>>,
    retried: job::Retried,
    progress: Progress,
    renewed: Instant,
    looked: Option<Instant>,
    is_finished: bool,
    /// Whether other launchers train all that is left, and this one does not wait for them.
    is_unneeded: bool,
    failures_in_a_row: usize,
    /// Why no further run is started, if something outside of the networks is wrong.
    fatal: Option<anyhow::Error>,
}

impl State {
    fn is_stopping(&self) -> bool {
        self.stop.request().is_some() || self.fatal.is_some()
    }

    /// Stops all runs on a first request, and kills them on a second one.
    fn take_stop_request(&mut self) {
        let training = self.training.iter().flatten();
        match self.stop.take() {
            Some(request) if request.is_forced => training.for_each(|it| it.run.kill()),
            Some(_) => {
                print_status("stopping all runs with a checkpoint; signal again to stop at once");
                training.for_each(|it| it.run.stop());
            }
            None => {}
        }
    }
}

impl Worker<'_> {
    /// Trains until every trial has a result or a stop is requested. Returns the launcher's exit code.
    ///
    /// # Errors
    /// If the sweep's folder cannot be read or written, a run cannot be started, or run after run fails.
    pub(crate) fn run(&self, stop: StopSignals) -> Result<u8> {
        let folder = self.starter.folder;
        let known = results::read(&folder.results())?;
        if self.prune {
            self.prune_recorded(&known)?;
        }
        let mut state = State {
            owner: Owner::here(),
            training: self.slots.iter().map(|_| None).collect(),
            retried: if self.retry { job::failures(&known) } else { Default::default() },
            progress: Progress::new(folder, self.plan, self.slots.len(), &known),
            renewed: Instant::now(),
            looked: None,
            is_finished: false,
            is_unneeded: false,
            stop,
            failures_in_a_row: 0,
            fatal: None,
        };
        loop {
            state.take_stop_request();
            self.settle_ended(&mut state)?;
            self.renew(&mut state);
            let is_stopping = state.is_stopping();
            if !is_stopping {
                self.fill(&mut state)?;
            }
            let is_idle = state.training.iter().all(Option::is_none);
            if is_idle && (is_stopping || state.is_finished || state.is_unneeded) {
                break;
            }
            state
                .progress
                .show(state.training.iter().flatten().map(|it| (it.claim.id.as_str(), it.claim.epochs)));
            std::thread::sleep(POLL);
        }
        self.end(state)
    }

    fn end(&self, state: State) -> Result<u8> {
        let folder = self.starter.folder.path().display();
        state.progress.clear();
        if let Some(error) = state.fatal {
            return Err(error);
        }
        if state.stop.request().is_some() && !state.is_finished {
            print_status(format_args!("stopped; `launcher sweep start {folder}` continues"));
            return Ok(ExitCode::Preempted.code() as u8);
        }
        if state.is_unneeded && !state.is_finished {
            print_status(format_args!("{}; other launchers train the rest", state.progress.summary()));
            return Ok(ExitCode::Done.code() as u8);
        }
        print_status(format_args!(
            "{}; `launcher sweep analyze {folder} --out DIR` compares them",
            state.progress.summary()
        ));
        Ok(ExitCode::Done.code() as u8)
    }

    /// Records the results of runs that have ended, and frees their places.
    fn settle_ended(&self, state: &mut State) -> Result<()> {
        for slot in 0..state.training.len() {
            let Some(training) = &mut state.training[slot] else { continue };
            let Some(code) = training.run.try_wait()? else { continue };
            let Some(training) = state.training[slot].take() else { continue };
            if let Err(error) = self.settle(training, code, state) {
                state.fatal.get_or_insert(error);
            }
            if state.fatal.is_some() {
                state.training.iter().flatten().for_each(|it| it.run.stop());
            }
        }
        Ok(())
    }

    fn settle(&self, training: Training, code: i32, state: &mut State) -> Result<()> {
        let folder = self.starter.folder;
        if training.is_lost || !claims::is_held(folder, &training.claim) {
            print_status(format_args!("{}: another launcher has taken it over", training.claim.id));
            return Ok(());
        }
        state.looked = None;
        let run = folder.run(&training.claim.id);
        let is_stopping = state.is_stopping();
        let ended =
            outcome::judge(&run, &folder.log(&training.claim.id), code, training.claim.epochs, is_stopping);
        let Ended::Recorded(end) = ended else {
            claims::give_back(folder, &training.claim, &Lock::acquire(&folder.lock())?)?;
            return match ended {
                Ended::NoStorage(cause) => {
                    Err(StorageError::Content { path: run.path().to_owned(), found: cause }.into())
                }
                _ => Ok(()),
            };
        };
        let result = outcome::result(self.plan, training.trial, &training.prepared, &run, end)?;
        {
            let lock = Lock::acquire(&folder.lock())?;
            results::append(&folder.results(), &result, &lock)?;
            claims::give_back(folder, &training.claim, &lock)?;
        }
        state.progress.record(&result);
        if self.prune && self.is_final(&result) {
            outcome::prune(&run, &folder.log(&result.id))?;
        }
        self.count_failures(&result, state)
    }

    /// Stops the sweep if run after run fails.
    fn count_failures(&self, result: &TrialResult, state: &mut State) -> Result<()> {
        let End::Failed { cause, .. } = &result.end else {
            state.failures_in_a_row = 0;
            return Ok(());
        };
        state.failures_in_a_row += 1;
        if state.failures_in_a_row >= MAX_FAILURES_IN_A_ROW {
            bail!(
                "{} in a row failed, the last one with: {cause}; its log is {}. When the cause is mended, continue with --retry",
                counted(MAX_FAILURES_IN_A_ROW, "run"),
                self.starter.folder.log(&result.id).display()
            );
        }
        Ok(())
    }

    /// Whether a trial will not be trained any further, as a promoted one of a search may be.
    fn is_final(&self, result: &TrialResult) -> bool {
        self.plan.search().is_none_or(|search| result.budget.epochs >= search.max_epochs)
    }

    fn prune_recorded(&self, known: &[TrialResult]) -> Result<(), StorageError> {
        let folder = self.starter.folder;
        let mut recorded =
            known.iter().filter(|it| self.is_final(it) && !matches!(it.end, End::Failed { .. }));
        recorded.try_for_each(|it| outcome::prune(&folder.run(&it.id), &folder.log(&it.id)))
    }

    /// Renews all claims when they are due, and stops runs whose claim was taken over: this launcher was stopped for longer than a
    /// lease.
    fn renew(&self, state: &mut State) {
        if state.renewed.elapsed() < claims::RENEWAL {
            return;
        }
        state.renewed = Instant::now();
        for training in state.training.iter_mut().flatten().filter(|it| !it.is_lost) {
            match claims::renew(self.starter.folder, &training.claim) {
                Ok(true) => {}
                Ok(false) => {
                    training.is_lost = true;
                    training.run.kill();
                }
                Err(error) => print_status(format_args!("{}; trying again", describe(&error))),
            }
        }
    }

    /// Starts the next trials in free places.
    fn fill(&self, state: &mut State) -> Result<()> {
        if state.looked.is_some_and(|looked| looked.elapsed() < WORK_POLL) {
            return Ok(());
        }
        for slot in 0..self.slots.len() {
            if state.training[slot].is_some() {
                continue;
            }
            let Some((trial, claim)) = self.claim_next(state)? else {
                state.looked = Some(Instant::now());
                return Ok(());
            };
            match self.begin(trial, &claim, slot) {
                Ok(training) => state.training[slot] = Some(training),
                Err(error) => {
                    let folder = self.starter.folder;
                    claims::give_back(folder, &claim, &Lock::acquire(&folder.lock())?)?;
                    state.fatal.get_or_insert(error);
                    state.training.iter().flatten().for_each(|it| it.run.stop());
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Claims the next trial, if there is one to train.
    fn claim_next(&self, state: &mut State) -> Result<Option<(Trial, Claim)>> {
        let folder = self.starter.folder;
        let lock = Lock::acquire(&folder.lock())?;
        let known = results::read(&folder.results())?;
        let in_force = claims::in_force(folder, &lock)?;
        let work = job::next(self.plan, &known, &in_force, &state.retried);
        state.progress.note_known(known);
        state.is_finished = work == Work::Finished;
        state.is_unneeded = work == Work::Wait && !self.waits;
        let Work::Train(trial, epochs) = work else { return Ok(None) };
        let claim = Claim { id: self.plan.id(trial), epochs, owner: state.owner.clone() };
        claims::take(folder, &claim, &lock)?;
        Ok(Some((trial, claim)))
    }

    fn begin(&self, trial: Trial, claim: &Claim, slot: usize) -> Result<Training> {
        let prepared = self.plan.prepare(trial, claim.epochs)?;
        let run = self.starter.start(&prepared, &claim.id, &self.slots[slot])?;
        Ok(Training { trial, prepared, claim: claim.clone(), run, is_lost: false })
    }
}
