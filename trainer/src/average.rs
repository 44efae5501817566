//! The exponential moving average of the weights and of the BatchNorm statistics: the steps that update it, and how.
//!
//! It is updated after a step and not in a recorded CUDA graph, which holds the same work for every step.

use regatta_comm::FlatBuffer;
use regatta_settings::{EmaWarmup, Recipe};
use tch::Tensor;

use crate::replica::Replica;

/// The position of a step in the run, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) step_in_epoch: u64,
    pub(crate) steps_per_epoch: u64,
}

/// Which steps update the average, and how far it moves: a pure function of the recipe and the step, so that a run that is
/// continued averages as one that never stopped.
#[derive(Debug, Clone)]
pub(crate) struct AveragingRule {
    /// Decay of one update.
    decay: f64,
    interval_steps: u64,
    warmup: EmaWarmup,
    /// Length of the learning rate's warm-up.
    warmup_epochs: f64,
}

impl AveragingRule {
    /// Returns the recipe's rule.
    pub(crate) fn of(recipe: &Recipe) -> Self {
        let train = &recipe.train;
        let interval = train.ema_interval_steps as f64;
        let decay = match train.ema_half_life_steps {
            Some(steps) => 0.5f64.powf(interval / steps as f64),
            None if train.ema_scale_by_batch => {
                let updates_scale = train.global_batch_size as f64 * interval / recipe.schedule.epochs as f64;
                1.0 - ((1.0 - train.ema_decay) * updates_scale).min(1.0)
            }
            None => train.ema_decay,
        };
        Self {
            decay,
            interval_steps: train.ema_interval_steps,
            warmup: train.ema_warmup,
            warmup_epochs: recipe.schedule.warmup_epochs,
        }
    }

    /// Returns the weight of the network's values in the average after the step at this position: 1 copies them. `None` if the
    /// step does not update the average. As in torchvision's references and pycls, the first step of every epoch does.
    pub(crate) fn weight(&self, at: Position) -> Option<f64> {
        if !at.step_in_epoch.is_multiple_of(self.interval_steps) {
            return None;
        }
        Some(match self.warmup {
            EmaWarmup::None => 1.0 - self.decay,
            EmaWarmup::Copy if self.copies(at) => 1.0,
            EmaWarmup::Copy => 1.0 - self.decay,
            EmaWarmup::Ramp => {
                let per_epoch = at.steps_per_epoch.div_ceil(self.interval_steps);
                let before = (at.epoch * per_epoch + at.step_in_epoch / self.interval_steps) as f64;
                1.0 - self.decay.min((1.0 + before) / (10.0 + before))
            }
        })
    }

    /// Returns whether an update copies the weights, with the warm-up "copy". As torchvision, which resets its count of updates
    /// after each one in the warm-up, it also copies in the first step after the warm-up.
    fn copies(&self, at: Position) -> bool {
        let is_first_after = at.step_in_epoch == 0 && (at.epoch as f64) < self.warmup_epochs + 1.0;
        (at.epoch as f64) < self.warmup_epochs || is_first_after
    }
}

/// The average of the parameters and of the running statistics, in the layout of the replica's flat buffers.
#[derive(Debug)]
pub(crate) struct Average {
    pub(crate) parameters: FlatBuffer,
    /// The average of BatchNorm's running means and variances.
    pub(crate) running: FlatBuffer,
    rule: AveragingRule,
}

impl Average {
    /// Creates the recipe's average, which begins at the values of `replica`; `None` if the recipe keeps none.
    pub(crate) fn new(recipe: &Recipe, replica: &Replica) -> Option<Self> {
        let copy = |buffer: &FlatBuffer| {
            let mut copy = buffer.zeros_like();
            tch::no_grad(|| copy.flat.copy_(&buffer.flat));
            copy
        };
        recipe.train.keeps_average().then(|| Self {
            parameters: copy(&replica.parameters),
            running: copy(&replica.running),
            rule: AveragingRule::of(recipe),
        })
    }

    /// Moves the average towards the network's values after the step at this position, if the step updates it. Changes nothing
    /// if `updated`, a scalar on the device, is 0 instead of 1. The host does not wait for the device.
    pub(crate) fn update(&mut self, replica: &Replica, at: Position, updated: &Tensor) {
        let Some(weight) = self.rule.weight(at) else { return };
        // A weight of 1 gives exactly the network's values, one of 0 exactly the average's.
        let weight = updated.to_kind(replica.parameters.flat.kind()) * weight;
        tch::no_grad(|| {
            _ = self.parameters.flat.lerp_tensor_(&replica.parameters.flat, &weight);
            _ = self.running.flat.lerp_tensor_(&replica.running.flat, &weight);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(decay: f64, interval_steps: u64, warmup: EmaWarmup, warmup_epochs: f64) -> AveragingRule {
        AveragingRule { decay, interval_steps, warmup, warmup_epochs }
    }

    /// The weights of the first steps, in epochs of five; `-` where the average stays.
    fn weights(rule: &AveragingRule, epochs: u64) -> String {
        let position = |step: u64| Position { epoch: step / 5, step_in_epoch: step % 5, steps_per_epoch: 5 };
        let shown = |weight: Option<f64>| weight.map_or("-".to_owned(), |weight| format!("{weight:.3}"));
        let all: Vec<_> = (0..5 * epochs).map(|step| shown(rule.weight(position(step)))).collect();
        all.chunks(5).map(|epoch| epoch.join(" ")).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn courses() {
        let check = |rule: AveragingRule, expected: &str| assert_eq!(weights(&rule, 2), expected, "{rule:?}");
        check(
            rule(0.9, 1, EmaWarmup::None, 1.0),
            "0.100 0.100 0.100 0.100 0.100 | 0.100 0.100 0.100 0.100 0.100",
        );
        check(rule(0.9, 2, EmaWarmup::None, 0.0), "0.100 - 0.100 - 0.100 | 0.100 - 0.100 - 0.100");
        check(rule(0.9, 7, EmaWarmup::None, 0.0), "0.100 - - - - | 0.100 - - - -");
        // One copy more after the warm-up, as torchvision makes it.
        check(rule(0.9, 2, EmaWarmup::Copy, 1.0), "1.000 - 1.000 - 1.000 | 1.000 - 0.100 - 0.100");
        check(rule(0.9, 2, EmaWarmup::Copy, 0.5), "1.000 - 1.000 - 1.000 | 1.000 - 0.100 - 0.100");
        check(rule(0.3, 2, EmaWarmup::Ramp, 0.0), "0.900 - 0.818 - 0.750 | 0.700 - 0.700 - 0.700");
        let late = rule(0.9, 1, EmaWarmup::Copy, 2.0);
        assert_eq!(weights(&late, 4).split(" | ").nth(2), Some("1.000 0.100 0.100 0.100 0.100"));
    }
}
