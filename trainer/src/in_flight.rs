//! Steps that the host has launched and whose outcome it has not read: with a GPU it runs one ahead, so that the device
//! always has work.

use std::collections::VecDeque;

use anyhow::Result;
use regatta_comm::World;

use crate::attribution::IntervalTimes;
use crate::control::Asked;
use crate::failure::{Diverged, together};
use crate::progress::Progress;
use crate::step::LaunchedStep;

/// The launched steps, oldest first, and where the time of those that were read went.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    steps: VecDeque<Step>,
    times: IntervalTimes,
}

#[derive(Debug)]
struct Step {
    launched: LaunchedStep,
    /// Its number, from 1.
    number: u64,
    images: usize,
    lr: f64,
}

impl InFlight {
    /// Adds step `number`, counted from 1.
    pub(crate) fn push(&mut self, launched: LaunchedStep, number: u64, images: usize, lr: f64) {
        self.steps.push_back(Step { launched, number, images, lr });
    }

    /// Reads the outcomes of all steps but the last `ahead` into `progress`. What they say that some rank asked
    /// for.
    pub(crate) fn book(&mut self, ahead: usize, progress: &mut Progress, world: &World) -> Result<Asked> {
        let mut asked = Asked::default();
        while self.steps.len() > ahead {
            let Some(Step { launched, number, images, lr }) = self.steps.pop_front() else { break };
            let outcome = launched.reading.outcome()?;
            world.hold_if_aborted();
            if !outcome.loss_sum.is_finite() {
                return together(Err(diverged(outcome.loss_sum, number, progress, lr).into()), world);
            }
            if !outcome.updated {
                tracing::warn!("step {number}: gradients are not finite; the step is skipped");
            }
            progress.book(&outcome, images);
            self.times.add(&launched.times.seconds()?);
            asked = asked.or(outcome.asked);
        }
        Ok(asked)
    }

    /// Where the time went since this was last asked.
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
