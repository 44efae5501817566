//! Reports the progress and the result of a run: progress bar, log lines, step and epoch records.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use regatta_data::OnBadImage;
use regatta_run_folder::{EpochRecord, StepRecord, print_output};

use super::Trainer;
use crate::attribution::{Phase, Slowest, phase_summary};
use crate::gpu_sensors::GpuSensors;
use crate::input;
use crate::memory::{peak_device_mib, peak_rss_mib};
use crate::progress::{Progress, Sums};
use crate::{telemetry, terminal};

/// Time limit for writing the log to the terminal before the result is printed.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

impl Trainer<'_> {
    pub(super) fn epoch_label(&self) -> String {
        format!("epoch {}/{}", self.progress.epoch + 1, self.recipe.train.epochs)
    }

    /// Logs the size of the training images in an epoch that begins with another one.
    pub(super) fn log_size(&self) {
        let (data, epoch) = (&self.recipe.data, self.progress.epoch);
        let px = data.resolution_px_in(epoch);
        let before = epoch.checked_sub(1).map(|before| data.resolution_px_in(before));
        if data.changes_resolution() && before != Some(px) && self.progress.step_in_epoch == 0 {
            tracing::info!("{}: images of {px}x{px}", self.epoch_label());
        }
    }

    /// Updates the progress bar with loss, throughput and, on a wide terminal, accuracy and data wait since the last log line,
    /// and with the time that is left of the run without evaluations.
    pub(super) fn move_bar(&self, steps_per_epoch: u64) {
        self.bar.set_position(self.progress.step_in_epoch);
        let sums = &self.progress.interval_sum;
        if self.bar.is_hidden() || sums.images == 0 {
            return;
        }
        let rate = self.clock.interval_rate(self.progress.images);
        let (epoch, loss) = (self.epoch_label(), sums.mean());
        let wide = telemetry::is_wide();
        let top1 = if wide { format!(" top-1 {:.3}", sums.top1()) } else { String::new() };
        let waiting = self.in_flight.waiting_for_data().filter(|_| wide);
        let waiting = waiting.map_or_else(String::new, |share| format!(" data {:.0} %", 100.0 * share));
        self.bar.set_message(format!("{epoch} loss {loss:.4}{top1} {rate:.0} images/s{waiting}"));
        self.bar.set_prefix(telemetry::time_left(self.seconds_left(steps_per_epoch)));
    }

    /// Estimates the training time that is left from the rate in this epoch.
    fn seconds_left(&self, steps_per_epoch: u64) -> f64 {
        let steps = self.recipe.train.epochs * steps_per_epoch;
        let last = self.recipe.train.max_steps.map_or(steps, |most| most.min(steps));
        let images = last.saturating_sub(self.progress.step) * self.recipe.train.global_batch_size as u64;
        images as f64 / self.clock.epoch_rate(self.progress.images)
    }

    pub(super) fn log_step(&mut self, lr: f64, seconds_to_first_step: f64) -> Result<()> {
        let (phases, slowest) = self.in_flight.take_times().over_ranks(self.world)?;
        let last = self.in_flight.last_outcome();
        let record = StepRecord {
            epoch: self.progress.epoch + 1,
            step: self.progress.step,
            images: self.progress.images,
            loss: self.progress.interval_sum.mean(),
            top1: self.progress.interval_sum.top1(),
            bad_images: self.counts_bad_images().then_some(self.progress.interval_sum.bad_images),
            lr,
            grad_norm: last.map(|outcome| outcome.grad_norm).filter(|norm| norm.is_finite()),
            loss_scale: last.and_then(|outcome| outcome.loss_scale),
            images_per_second: self.clock.interval_rate(self.progress.images),
            seconds_since_start: self.clock.seconds(),
            seconds_to_first_step,
            seconds_data: phases[Phase::Data as usize].median,
            seconds_copy: phases[Phase::Copy as usize].median,
            seconds_forward: phases[Phase::Forward as usize].median,
            seconds_backward: phases[Phase::Backward as usize].median,
            seconds_exposed_comm: phases[Phase::ExposedComm as usize].median,
            seconds_optimizer: phases[Phase::Optimizer as usize].median,
            slowest_rank: Some(slowest.rank),
            peak_rss_mib: peak_rss_mib(self.world)?,
            peak_device_mib: peak_device_mib(self.learner.replica.device())?,
            gpu: self.sensors.as_ref().map(GpuSensors::read).unwrap_or_default(),
        };
        self.log_progress(lr);
        self.progress.interval_sum = Sums::default();
        self.clock.begin_interval(self.progress.images);
        tracing::debug!("{}", phase_summary(&phases, slowest));
        if self.stragglers.note(slowest) {
            let Slowest { rank, times } = slowest;
            tracing::warn!(
                "rank {rank} is a straggler: for {} log intervals its own work in a step has taken at least {} times \
                 as long as theirs (last {times:.2}); see the phases in its log",
                self.recipe.log.straggler_intervals,
                self.recipe.log.straggler_factor
            );
        }
        self.records.as_mut().map_or(Ok(()), |records| records.step(record))
    }

    /// Shows in TensorBoard, where it is due, what is not in a record of the step: the first images of this attempt, and
    /// histograms.
    pub(super) fn show_step(&mut self) -> Result<()> {
        let Some(records) = &mut self.records else { return Ok(()) };
        let (step, interval) = (self.progress.step, self.recipe.log.histogram_interval_steps);
        let images = self.learner.first_images.take_if(|images| !images.is_empty());
        let has_histograms = interval > 0 && step.is_multiple_of(interval);
        if images.is_none() && !has_histograms {
            return Ok(());
        }
        let Some(tensorboard) = records.tensorboard()? else { return Ok(()) };
        if let Some(images) = images {
            tensorboard.training_images(step, &images)?;
        }
        if has_histograms { tensorboard.histograms(step, &self.learner.replica) } else { Ok(()) }
    }

    /// Logs the steps since the last log line.
    pub(super) fn log_progress(&self, lr: f64) {
        let Progress { step, images, interval_sum: sums, .. } = &self.progress;
        let (loss, top1, images_per_second) = (sums.mean(), sums.top1(), self.clock.interval_rate(*images));
        tracing::info!(
            kind = "step",
            epoch = self.progress.epoch + 1,
            step,
            loss,
            top1,
            lr,
            images_per_second,
            "{} step {step} loss {loss:.4} top-1 {top1:.4} lr {lr:.5} {images_per_second:.0} images/s",
            self.epoch_label(),
        );
    }

    /// Returns whether images that cannot be read are replaced, and therefore counted.
    fn counts_bad_images(&self) -> bool {
        input::on_bad_image(self.recipe) != OnBadImage::Error
    }

    pub(super) fn epoch_record(&self) -> Result<EpochRecord> {
        Ok(EpochRecord {
            epoch: self.progress.epoch + 1,
            step: self.progress.step,
            images: self.progress.images,
            train_loss: self.progress.epoch_sum.mean(),
            train_top1: self.progress.epoch_sum.top1(),
            bad_images: self.counts_bad_images().then_some(self.progress.epoch_sum.bad_images),
            val_loss: None,
            val_top1: None,
            val_top5: None,
            val_raw_top1: None,
            images_per_second: self.clock.epoch_rate(self.progress.images),
            seconds: self.clock.epoch_seconds(),
            peak_rss_mib: peak_rss_mib(self.world)?,
        })
    }

    pub(super) fn log_epoch(&self, record: &EpochRecord) {
        let EpochRecord { train_loss, train_top1, seconds, images_per_second, peak_rss_mib, .. } = record;
        let validation = match (record.val_top1, record.val_top5, record.val_loss) {
            (Some(top1), Some(top5), Some(loss)) => {
                format!("val loss {loss:.4} top-1 {top1:.4} top-5 {top5:.4}")
            }
            _ => "not evaluated".into(),
        };
        tracing::info!(
            kind = "epoch",
            epoch = record.epoch,
            step = record.step,
            train_loss,
            train_top1,
            val_loss = record.val_loss,
            val_top1 = record.val_top1,
            val_top5 = record.val_top5,
            seconds,
            images_per_second,
            "{}: train loss {train_loss:.4} top-1 {train_top1:.4} {validation} | {seconds:.0} s, \
             {images_per_second:.0} images/s, peak {peak_rss_mib:.0} MiB",
            self.epoch_label()
        );
    }

    /// Prints the result on standard output; the run started at `begun`, an epoch and a step.
    pub(super) fn print_result(&self, begun: (u64, u64)) {
        if self.world.rank() > 0 {
            return;
        }
        // A closed standard output does not make a finished run fail.
        let say = |line: fmt::Arguments| _ = print_output(line);
        // The log reaches the terminal through a thread, these lines do not.
        terminal::flush(FLUSH_LIMIT);
        if begun.1 > 0 && begun == (self.progress.epoch, self.progress.step) {
            let (key, value) = match self.recipe.train.max_steps {
                Some(max) if self.max_steps_reached() => ("train.max_steps", max),
                _ => ("train.epochs", self.recipe.train.epochs),
            };
            say(format_args!(
                "nothing left to do: {key} = {value} was already reached; set a larger value to continue"
            ));
        }
        let Progress { best, .. } = self.progress;
        let best = best.map(|best| format!("best top-1 {:.4} in epoch {}, ", best.top1, best.epoch));
        say(format_args!("done: {}{}", best.unwrap_or_default(), self.progress.reached()));
    }
}
