//! Queues the steps that the host has launched and whose outcomes it has not read. On a GPU the host runs one step ahead, so
//! that the device always has work.

use std::collections::VecDeque;

use anyhow::Result;
use regatta_comm::World;

use crate::attribution::{IntervalTimes, Phase};
use crate::control::{Requests, StepOutcome};
use crate::failure::{Diverged, together};
use crate::progress::Progress;
use crate::step::LaunchedStep;

/// The launched steps, oldest first, and what is known of those whose outcomes were read.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    steps: VecDeque<Step>,
    /// Times by phase.
    times: IntervalTimes,
    /// Outcome of the last one.
    last: Option<StepOutcome>,
}

#[derive(Debug)]
struct Step {
    launched: LaunchedStep,
    /// Counted from 1.
    number: u64,
    images: usize,
    lr: f64,
}

impl InFlight {
    /// Adds step `number`, counted from 1.
    pub(crate) fn push(&mut self, launched: LaunchedStep, number: u64, images: usize, lr: f64) {
        self.steps.push_back(Step { launched, number, images, lr });
    }

    /// Adds the outcomes of all steps but the last `ahead` to `progress`. Returns what some rank requested in them.
    ///
    /// # Errors
    /// A loss that is not finite, and device errors.
    pub(crate) fn read_outcomes(
        &mut self,
        ahead: usize,
        progress: &mut Progress,
        world: &World,
    ) -> Result<Requests> {
        let mut requests = Requests::default();
        while self.steps.len() > ahead {
            let Some(Step { launched, number, images, lr }) = self.steps.pop_front() else { break };
            let outcome = launched.pending.outcome()?;
            world.park_if_aborted();
            if !outcome.loss_sum.is_finite() {
                return together(Err(diverged(outcome.loss_sum, number, progress, lr).into()), world);
            }
            if !outcome.updated {
                tracing::warn!("step {number}: gradients are not finite; the step is skipped");
            }
            progress.add_outcome(&outcome, images);
            self.times.add(&launched.times.seconds()?);
            requests = requests.or(outcome.requests);
            self.last = Some(outcome);
        }
        Ok(requests)
    }

    /// Returns the outcome of the last step whose outcome was read, if there is one.
    pub(crate) fn last_outcome(&self) -> Option<StepOutcome> {
        self.last
    }

    /// Returns the share of the steps' time, since the times were last taken, that was spent waiting for images; none before a step.
    pub(crate) fn waiting_for_data(&self) -> Option<f64> {
        self.times.share(Phase::Data)
    }

    /// Returns the times by phase since the last call, and resets them.
    pub(crate) fn take_times(&mut self) -> IntervalTimes {
        std::mem::take(&mut self.times)
    }
}

fn diverged(loss_sum: f64, step: u64, progress: &Progress, lr: f64) -> Diverged {
    Diverged(format!(
        "the loss is {loss_sum} in step {step} of epoch {}, at learning rate {lr:?}: lower optim.lr, lengthen \
         schedule.warmup_epochs or set train.clip_grad_norm, and start again under another --name",
        progress.epoch + 1
    ))
}
