//! A run's position, sums and best result: the part of a checkpoint that is not tensors.

use anyhow::{Result, bail};
use regatta_run_folder::counted;
use serde::{Deserialize, Serialize};

use crate::control::StepOutcome;
use crate::failure::Usage;
use crate::loss_scale::LossScaleState;

/// Position in the run, sums over the current log interval and epoch, and the best result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Current epoch, counted from 0.
    pub(crate) epoch: u64,
    /// Steps done in the current epoch.
    pub(crate) step_in_epoch: u64,
    /// Steps done in the whole run.
    pub(crate) step: u64,
    /// Images that these steps consumed.
    pub(crate) images: u64,
    /// Optimizer updates; fewer than steps if gradients were not finite.
    pub(crate) updates: u64,
    /// Steps skipped because their gradients were not finite.
    pub(crate) skipped: u64,
    /// Set with fp16 only.
    pub(crate) loss_scale: Option<LossScaleState>,
    /// Sums over the epoch so far.
    pub(crate) epoch_sum: Sums,
    /// Sums since the last log line.
    pub(crate) interval_sum: Sums,
    /// The best validation result so far.
    pub(crate) best: Option<Best>,
    /// Hash of the lists of image files, in hexadecimal; none for data sets that have none.
    #[serde(default)]
    pub(crate) list_hash: Option<String>,
}

/// Sums over training images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sums {
    /// Sum of the losses.
    pub(crate) loss: f64,
    /// Images whose label had the largest logit in their step. Checkpoints of version 0.1 lack it.
    #[serde(default)]
    pub(crate) hits: u64,
    /// Number of images.
    pub(crate) images: u64,
    /// Images that could not be read and were replaced. Checkpoints of version 0.1 lack it.
    #[serde(default)]
    pub(crate) bad_images: u64,
}

impl Sums {
    /// Mean loss per image.
    pub(crate) fn mean(&self) -> f64 {
        self.loss / self.images as f64
    }

    /// Fraction of the images whose label had the largest logit.
    pub(crate) fn top1(&self) -> f64 {
        self.hits as f64 / self.images as f64
    }

    fn add(&mut self, outcome: &StepOutcome, images: usize) {
        self.loss += outcome.loss_sum;
        self.hits += outcome.hits;
        self.images += images as u64;
        self.bad_images += outcome.bad_images;
    }
}

/// A validation result and when it was reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    /// As a fraction.
    pub(crate) top1: f64,
    /// Counted from 1.
    pub(crate) epoch: u64,
    /// Steps done by then.
    pub(crate) step: u64,
}

impl Progress {
    /// Moves the position by one step over `images` images; [`Progress::add_outcome`] adds its outcome later.
    pub(crate) fn advance(&mut self, images: usize) {
        self.step_in_epoch += 1;
        self.step += 1;
        self.images += images as u64;
    }

    /// Adds the outcome of a step over `images` images.
    pub(crate) fn add_outcome(&mut self, outcome: &StepOutcome, images: usize) {
        self.epoch_sum.add(outcome, images);
        self.interval_sum.add(outcome, images);
        self.updates += u64::from(outcome.updated);
        self.skipped += u64::from(!outcome.updated);
    }

    /// Moves to the start of the next epoch.
    pub(crate) fn next_epoch(&mut self) {
        self.epoch += 1;
        self.step_in_epoch = 0;
        self.epoch_sum = Sums::default();
    }

    /// Describes the position in words.
    pub(crate) fn reached(&self) -> String {
        let (epochs, steps) = (counted(self.epoch, "epoch"), counted(self.step, "step"));
        match (self.epoch, self.step_in_epoch) {
            (_, 0) => format!("after {epochs} and {steps}"),
            (epoch, _) => format!("after {steps}, within epoch {}", epoch + 1),
        }
    }

    /// Checks that an epoch over `images` training images has the number of `steps` it had when this was saved.
    ///
    /// # Errors
    /// An epoch of another length, which means other training images.
    pub(crate) fn check_epoch(&self, steps: u64, images: usize) -> Result<()> {
        if self.step == self.epoch * steps + self.step_in_epoch && self.step_in_epoch <= steps {
            return Ok(());
        }
        bail!(Usage(format!(
            "the data set has {images} training images, which make epochs of {steps} steps, but the checkpoint is of step \
             {} in epoch {} of a run whose epochs have another length: give the data that it was trained on",
            self.step,
            self.epoch + 1
        )))
    }

    /// Checks that the lists of image files are those that the run was trained on, and notes their hash.
    ///
    /// # Errors
    /// Other lists than when this was saved.
    pub(crate) fn check_lists(&mut self, hash: Option<&str>) -> Result<()> {
        let kept = self.list_hash.as_deref();
        if self.step > 0 && kept != hash {
            bail!(Usage(format!(
                "the checkpoint was trained on other image files: the hash of their list is {} now and {} in the checkpoint; \
                 give the data that it was trained on",
                hash.unwrap_or("none"),
                kept.unwrap_or("none")
            )));
        }
        self.list_hash = hash.map(str::to_owned);
        Ok(())
    }

    /// Records a validation result; returns whether it is the best so far. Of equal results the first stays.
    pub(crate) fn note(&mut self, top1: f64) -> bool {
        let better = self.best.is_none_or(|best| top1 > best.top1);
        if better {
            self.best = Some(Best { top1, epoch: self.epoch + 1, step: self.step });
        }
        better
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Requests;

    fn outcome(loss_sum: f64, hits: u64, updated: bool) -> StepOutcome {
        let requests = Requests::default();
        StepOutcome { loss_sum, hits, updated, bad_images: 0, requests, grad_norm: 1.0, loss_scale: None }
    }

    #[test]
    fn other_lists_of_images_are_rejected_once_there_was_a_step() {
        let mut progress = Progress::default();
        progress.check_lists(Some("aa")).unwrap();
        progress.check_lists(Some("bb")).unwrap();
        progress.advance(4);
        progress.check_lists(Some("bb")).unwrap();
        let error = progress.check_lists(Some("cc")).unwrap_err().to_string();
        assert!(error.contains("is cc now and bb in the checkpoint"), "{error}");
        assert!(progress.check_lists(None).is_err());
    }

    #[test]
    fn sums_and_positions_move_together() {
        let mut progress = Progress::default();
        for (outcome, images) in [(outcome(6.0, 2, true), 3), (outcome(1.0, 1, false), 1)] {
            progress.advance(images);
            progress.add_outcome(&outcome, images);
        }
        assert_eq!((progress.updates, progress.skipped), (1, 1));
        assert_eq!((progress.step, progress.step_in_epoch, progress.images), (2, 2, 4));
        assert_eq!((progress.epoch_sum.mean(), progress.epoch_sum.top1()), (1.75, 0.75));
        progress.next_epoch();
        assert_eq!((progress.epoch, progress.step_in_epoch, progress.step), (1, 0, 2));
        assert_eq!(progress.epoch_sum, Sums::default());
    }

    #[test]
    fn epochs_of_another_length_are_refused() {
        let progress = Progress { epoch: 2, step_in_epoch: 1, step: 7, ..Progress::default() };
        assert!(progress.check_epoch(3, 26).is_ok() && Progress::default().check_epoch(3, 26).is_ok());
        let error = progress.check_epoch(4, 40).unwrap_err().to_string();
        assert!(error.contains("40 training images, which make epochs of 4 steps"), "{error}");
    }

    #[test]
    fn the_best_is_the_first_of_equals() {
        let mut progress = Progress::default();
        assert_eq!([0.5, 0.5, 0.7, 0.6].map(|top1| progress.note(top1)), [true, false, true, false]);
        assert_eq!(progress.best.map(|best| best.top1), Some(0.7));
    }

    #[test]
    fn an_epoch_that_is_not_over_is_not_counted() {
        let at = |epoch, step_in_epoch, step| Progress { epoch, step_in_epoch, step, ..Progress::default() };
        let said = [at(1, 0, 3), at(4, 0, 12), at(1, 1, 4), at(0, 1, 1)].map(|progress| progress.reached());
        let expected = [
            "after 1 epoch and 3 steps",
            "after 4 epochs and 12 steps",
            "after 4 steps, within epoch 2",
            "after 1 step, within epoch 1",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn numbers_survive_json_to_the_bit() {
        let mut progress = Progress::default();
        progress.add_outcome(&outcome(0.1 + 0.2, 1, true), 1);
        progress.note(1.0 / 3.0);
        let text = serde_json::to_string(&progress).unwrap();
        assert_eq!(serde_json::from_str::<Progress>(&text).unwrap(), progress);
    }
}
