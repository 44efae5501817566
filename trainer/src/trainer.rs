//! The training loop: epochs, steps, evaluation, records and checkpoints, and how a run ends.

mod evaluation;
mod report;

use std::time::Instant;

use anyhow::Result;
use indicatif::ProgressBar;
use regatta_comm::World;
use regatta_data::Split;
use regatta_run_folder::ExitCode;
use regatta_settings::Recipe;
use tch::Device;

use crate::average::Position;
use crate::clock::Clock;
use crate::control::Requests;
use crate::failure::together;
use crate::feed::Purpose;
use crate::gpu_sensors::{GpuSensors, sensors};
use crate::image_order::{ImageOrder, StepImages};
use crate::in_flight::InFlight;
use crate::input;
use crate::loss_scale::LossScale;
use crate::precise::PreciseStatistics;
use crate::progress::Progress;
use crate::records::Records;
use crate::save_clock::SaveClock;
use crate::schedule::LearningRate;
use crate::session::Started;
use crate::step::{LaunchedStep, Learner, StepSource};
use crate::stragglers::Stragglers;
use crate::tensorboard::FirstImages;

/// A training run on one rank.
pub(crate) struct Trainer<'a> {
    recipe: &'a Recipe,
    world: &'a World,
    started: &'a Started<'a>,
    order: ImageOrder,
    source: StepSource,
    learner: Learner<'a>,
    progress: Progress,
    /// The statistics of the last evaluation that computed them.
    precise: Option<PreciseStatistics>,
    /// On rank 0.
    records: Option<Records>,
    bar: ProgressBar,
    /// On rank 0 with a GPU.
    sensors: Option<GpuSensors>,
    clock: Clock,
    in_flight: InFlight,
    save_clock: SaveClock,
    stragglers: Stragglers,
}

/// Why the steps of an epoch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EpochEnd {
    /// All steps are done.
    Done,
    /// `train.max_steps` was reached first.
    Limit,
    /// Some rank was asked to stop.
    Stopped,
}

impl<'a> Trainer<'a> {
    /// Creates a run that starts at `progress`; `records` is set on rank 0 only.
    pub(crate) fn new(
        recipe: &'a Recipe,
        world: &'a World,
        started: &'a Started,
        (order, source): (ImageOrder, StepSource),
        (mut learner, progress): (Learner<'a>, Progress),
        records: Option<Records>,
        bar: ProgressBar,
    ) -> Self {
        let shows_images = recipe.log.tensorboard && records.is_some();
        learner.first_images = shows_images.then(FirstImages::default);
        let sensors = sensors(world, learner.replica.device());
        Self {
            recipe,
            world,
            started,
            order,
            source,
            learner,
            progress,
            precise: None,
            records,
            sensors,
            bar,
            clock: Clock::new(started.process),
            in_flight: InFlight::default(),
            save_clock: SaveClock::new(recipe.checkpoint.interval_minutes, world.rank()),
            stragglers: Stragglers::new(&recipe.log),
        }
    }

    /// Trains to the end of the recipe or a request to stop, and records how the run ended. Rank 0 finishes its files before
    /// any rank exits, since the launcher may kill the others when the first one does.
    ///
    /// # Errors
    /// Divergence, and failures of data, communication or storage.
    pub(crate) fn run(mut self) -> Result<ExitCode> {
        let begun = (self.progress.epoch, self.progress.step);
        let ended = self.train();
        self.bar.finish_and_clear();
        if let Some(records) = self.records.take() {
            let recorded = records.finish(&ended, self.progress.step);
            if ended.is_ok() {
                recorded?;
            }
        }
        let code = ended?;
        if code == ExitCode::Done {
            self.print_result(begun);
        }
        self.world.barrier();
        Ok(code)
    }

    /// Runs the epochs. Every rank takes the same branches, since each may lead to a collective.
    fn train(&mut self) -> Result<ExitCode> {
        while self.progress.epoch < self.recipe.train.epochs
            && !(self.max_steps_reached() && self.is_between_epochs())
        {
            match self.train_epoch()? {
                EpochEnd::Stopped => return self.preempted(),
                EpochEnd::Limit => {
                    let Some(()) = self.end_early()? else { return self.preempted() };
                    break;
                }
                EpochEnd::Done => {
                    let Some(()) = self.end_epoch()? else { return self.preempted() };
                }
            }
        }
        Ok(ExitCode::Done)
    }

    fn is_between_epochs(&self) -> bool {
        self.progress.step_in_epoch == 0
    }

    fn max_steps_reached(&self) -> bool {
        self.recipe.train.max_steps.is_some_and(|max| self.progress.step >= max)
    }

    /// Runs the remaining steps of the current epoch.
    fn train_epoch(&mut self) -> Result<EpochEnd> {
        let steps = self.order.steps_per_epoch();
        let schedule = LearningRate::of(self.recipe, steps);
        self.source.feed.begin(Purpose::Training, self.progress.epoch)?;
        self.begin_epoch(steps);
        while self.progress.step_in_epoch < steps {
            if self.max_steps_reached() {
                return Ok(EpochEnd::Limit);
            }
            let StepImages { images, numbers } = self.order.step(self.progress.step_in_epoch);
            let lr = schedule.at(self.progress.step);
            self.world.set_step(self.progress.step + 1);
            let begin = Instant::now();
            let requests = Requests { stop: self.started.stop.is_set(), save: self.save_clock.asks() };
            let mut launched = self.learner.step(numbers, images, lr, requests, &mut self.source)?;
            self.learner.update_average(&mut launched, self.position(steps))?;
            let is_stopped = self.after_step(launched, images, lr, steps)?;
            self.started.stop_time.note_step(begin.elapsed());
            if is_stopped {
                return Ok(EpochEnd::Stopped);
            }
            if self.progress.step_in_epoch < steps
                && (self.checkpoint_step_is_due() || self.save_clock.is_due())
            {
                self.save(false)?;
            }
        }
        Ok(EpochEnd::Done)
    }

    /// Returns the position of the current step, in epochs of `steps` steps.
    fn position(&self, steps: u64) -> Position {
        let Progress { epoch, step_in_epoch, .. } = self.progress;
        Position { epoch, step_in_epoch, steps_per_epoch: steps }
    }

    fn checkpoint_step_is_due(&self) -> bool {
        let interval = self.recipe.checkpoint.interval_steps;
        interval > 0 && self.progress.step.is_multiple_of(interval)
    }

    fn begin_epoch(&mut self, steps: u64) {
        self.clock.begin_epoch(self.progress.images);
        let Progress { step, step_in_epoch, .. } = self.progress;
        let until_limit = self.recipe.train.max_steps.map(|max| step_in_epoch + max.saturating_sub(step));
        self.bar.set_length(until_limit.map_or(steps, |last| last.min(steps)));
        self.bar.set_position(step_in_epoch);
        self.bar.reset_eta();
        self.bar.set_message(self.epoch_label());
        self.log_size();
    }

    /// Reads the outcome of the step, or on a GPU of the previous one, and logs at the end of a log interval. Returns whether
    /// some rank was asked to stop.
    fn after_step(&mut self, launched: LaunchedStep, images: usize, lr: f64, steps: u64) -> Result<bool> {
        self.progress.advance(images);
        let Progress { step, step_in_epoch, .. } = self.progress;
        self.in_flight.push(launched, step, images, lr);
        let logs = step.is_multiple_of(self.recipe.log.interval_steps);
        let reads_outcomes = logs
            || step_in_epoch == steps
            || self.checkpoint_step_is_due()
            || self.max_steps_reached()
            || self.clock.is_before_first_step();
        let ahead = if reads_outcomes { 0 } else { self.steps_ahead() };
        let mut requests = self.in_flight.read_outcomes(ahead, &mut self.progress, self.world)?;
        if requests.stop || requests.save {
            requests = requests.or(self.in_flight.read_outcomes(0, &mut self.progress, self.world)?);
        }
        let bad = self.progress.epoch_sum.bad_images;
        self.check_bad_images(Split::Train, bad, self.order.training_images())?;
        self.save_clock.note(requests.save);
        let first = self.clock.seconds_to_first_step();
        self.move_bar(steps);
        self.show_step()?;
        if logs {
            self.log_step(lr, first)?;
        } else if self.max_steps_reached() {
            // Not in the metrics, so that they are the same when the run is continued from here.
            self.log_progress(lr);
        }
        Ok(requests.stop)
    }

    /// Returns how many steps the host may launch before it reads the oldest one's outcome. On a GPU it is 1, so that the host
    /// never waits for the device between two steps.
    fn steps_ahead(&self) -> usize {
        usize::from(self.learner.replica.device() != Device::Cpu)
    }

    /// Evaluates and saves a checkpoint if they are due, and records the epoch. Returns `None` when stopped in between; the
    /// epoch then ends after the run is continued.
    fn end_epoch(&mut self) -> Result<Option<()>> {
        let number = self.progress.epoch + 1;
        let due = |interval: u64| number == self.recipe.train.epochs || number.is_multiple_of(interval);
        let mut record = self.epoch_record()?;
        let mut is_best = false;
        if self.order.evaluates_after(number) {
            let Some(top1) = self.evaluate_into(&mut record)? else { return Ok(None) };
            is_best = self.progress.note(top1);
        }
        self.log_epoch(&record);
        if let Some(records) = &mut self.records {
            records.epoch(record)?;
            if let Some(tensorboard) = records.tensorboard()? {
                tensorboard.filters(self.progress.step, &self.learner.replica)?;
            }
        }
        let save = is_best
            || due(self.recipe.checkpoint.interval_epochs)
            || number.is_multiple_of(self.recipe.checkpoint.keep_every_epochs)
            || self.checkpoint_step_is_due()
            || self.save_clock.is_due()
            || self.max_steps_reached();
        self.progress.next_epoch();
        if save {
            self.save(is_best)?;
        }
        self.clock.begin_interval(self.progress.images);
        Ok(Some(()))
    }

    /// Evaluates an epoch that `train.max_steps` ended early, and saves a checkpoint from which the run can be continued.
    /// Returns `None` when stopped in between.
    fn end_early(&mut self) -> Result<Option<()>> {
        let mut record = self.epoch_record()?;
        let mut reached = None;
        if self.order.evaluates() {
            reached = self.evaluate_into(&mut record)?;
            if reached.is_none() {
                return Ok(None);
            }
        }
        self.log_epoch(&record);
        if let Some(records) = &mut self.records {
            records.unfinished_epoch(record)?;
        }
        self.save(false)?;
        // For the final output only, after the checkpoint: an uninterrupted run would not have evaluated here.
        if let Some(top1) = reached {
            self.progress.note(top1);
        }
        Ok(Some(()))
    }

    /// Checks on all ranks, which have the same numbers, that not too many images had to be replaced.
    fn check_bad_images(&self, split: Split, bad: u64, images: usize) -> Result<()> {
        match input::on_bad_image(self.recipe).check(split, bad, images) {
            Ok(()) => Ok(()),
            Err(error) => together(Err(error.into()), self.world),
        }
    }

    /// Saves a checkpoint on rank 0. The outcomes of all launched steps must have been read.
    fn save(&mut self, is_best: bool) -> Result<()> {
        self.save_clock.saved();
        self.progress.loss_scale = self.learner.loss_scale.as_ref().map(LossScale::state);
        match &mut self.records {
            Some(records) => {
                let begin = Instant::now();
                let precise = self.precise.as_ref().filter(|precise| precise.step == self.progress.step);
                records.checkpoint(&self.learner, &self.progress, precise, is_best)?;
                self.started.stop_time.note_checkpoint(begin.elapsed());
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Saves a checkpoint after a request to stop.
    fn preempted(&mut self) -> Result<ExitCode> {
        self.save(false)?;
        tracing::warn!("stopped after step {}; continue with --resume auto", self.progress.step);
        Ok(ExitCode::Preempted)
    }
}
