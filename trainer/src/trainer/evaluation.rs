//! Evaluates the weights and their moving average within a run, with precise BatchNorm statistics if the recipe asks for them.

use anyhow::Result;
use regatta_data::Split;
use regatta_model::Model;
use regatta_run_folder::EpochRecord;

use super::Trainer;
use crate::evaluate::{Evaluation, evaluate};
use crate::feed::Purpose;
use crate::precise::{PreciseBatches, PreciseStatistics, precise_statistics};
use crate::step::Learner;

impl Trainer<'_> {
    /// Fills in the validation results, of the moving average if there is one, and returns the top-1 accuracy. Returns `None`
    /// when stopped in between.
    pub(super) fn evaluate_into(&mut self, record: &mut EpochRecord) -> Result<Option<f64>> {
        let mut precise = None;
        if let Some(batches) = self.order.precise_batches() {
            precise = self.precise_statistics(batches)?;
            if precise.is_none() {
                return Ok(None);
            }
        }
        self.bar.set_message(format!("{} evaluates", self.epoch_label()));
        let (model, average) = self.evaluated_models(precise.as_ref());
        let Some(raw) = self.evaluate(&model)? else { return Ok(None) };
        let mut shown = raw;
        if let Some(average) = average {
            let Some(of_average) = self.evaluate(&average)? else { return Ok(None) };
            record.val_raw_top1 = Some(raw.top1);
            shown = of_average;
        }
        self.precise = precise;
        record.val_loss = Some(shown.loss);
        record.val_top1 = Some(shown.top1);
        record.val_top5 = Some(shown.top5);
        record.bad_images = record.bad_images.map(|bad| bad + shown.bad_images);
        Ok(Some(shown.top1))
    }

    /// Computes the precise statistics of the weights, and of their moving average if there is one. Returns `None` when stopped
    /// in between.
    fn precise_statistics(&mut self, batches: PreciseBatches) -> Result<Option<PreciseStatistics>> {
        self.bar.set_message(format!("{} computes BatchNorm statistics", self.epoch_label()));
        let (learner, feed) = (&mut self.learner, &mut self.source.feed);
        feed.begin(Purpose::PreciseStatistics, self.progress.epoch)?;
        let stop = || self.started.stop.is_set();
        let networks = (&mut learner.replica, learner.ema.as_ref());
        precise_statistics(networks, self.progress.step, feed, batches, self.world, &stop)
    }

    /// Returns the networks to evaluate: that of the weights, and that of their moving average if there is one. Their statistics
    /// are `precise`, or else the running ones.
    fn evaluated_models(&self, precise: Option<&PreciseStatistics>) -> (Model, Option<Model>) {
        let Learner { replica, ema, .. } = &self.learner;
        let running = precise.map_or(&replica.running, |precise| &precise.model);
        let average = ema.as_ref().map(|ema| {
            let running = precise.and_then(|precise| precise.ema.as_ref()).unwrap_or(&ema.running);
            replica.model_over(&ema.parameters, running)
        });
        (replica.model_over(&replica.parameters, running), average)
    }

    fn evaluate(&mut self, model: &Model) -> Result<Option<Evaluation>> {
        let (replica, feed) = (&self.learner.replica, &mut self.source.feed);
        feed.begin(Purpose::Evaluation, self.progress.epoch)?;
        let images = self.order.validation_images();
        let stop = || self.started.stop.is_set();
        let evaluation = evaluate(replica, model, feed, images, self.world, &stop)?;
        let bad = evaluation.map_or(0, |evaluation| evaluation.bad_images);
        self.check_bad_images(Split::Validation, bad, images)?;
        Ok(evaluation)
    }
}
