//! The learning rate of every step, as a pure function.

use regatta_settings::{Recipe, Schedule, ScheduleSettings};

/// A schedule with epochs turned into steps.
#[derive(Debug, Clone)]
pub(crate) struct LearningRate<'a> {
    pub(crate) settings: &'a ScheduleSettings,
    /// Learning rate after the warm-up.
    pub(crate) base: f64,
    /// Optimizer steps of an epoch.
    pub(crate) steps_per_epoch: u64,
}

impl<'a> LearningRate<'a> {
    /// Creates the recipe's schedule, for `steps_per_epoch` optimizer steps in an epoch.
    pub(crate) fn of(recipe: &'a Recipe, steps_per_epoch: u64) -> Self {
        Self { settings: &recipe.schedule, base: recipe.optim.lr, steps_per_epoch }
    }

    /// Returns the learning rate of `step`, counted from 0 over the whole run. The warm-up rises linearly from its start
    /// fraction to the base rate over `warmup_epochs`. A cosine spans the steps after it, up to `schedule.epochs`, and then
    /// stays at its final value.
    pub(crate) fn at(&self, step: u64) -> f64 {
        let (step, per_epoch) = (step as f64, self.steps_per_epoch as f64);
        let warmup = self.settings.warmup_epochs * per_epoch;
        let total = self.settings.epochs as f64 * per_epoch;
        if step < warmup {
            let start = self.settings.warmup_start_fraction;
            return self.base * (start + (1.0 - start) * (step + 1.0) / warmup.max(1.0)).min(1.0);
        }
        self.base
            * match &self.settings.schedule {
                Schedule::Constant {} => 1.0,
                Schedule::Step { milestones_epochs, gamma } => {
                    let passed = milestones_epochs.iter().filter(|&&epoch| epoch * per_epoch <= step).count();
                    gamma.powi(passed as i32)
                }
                Schedule::Cosine { final_lr_fraction } => {
                    let progress = ((step - warmup) / (total - warmup)).clamp(0.0, 1.0);
                    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
                    final_lr_fraction + (1.0 - final_lr_fraction) * cosine
                }
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: Schedule, warmup_epochs: f64, steps: &[u64]) -> Vec<f64> {
        let settings = ScheduleSettings { schedule, epochs: 4, warmup_epochs, warmup_start_fraction: 0.0 };
        let rate = LearningRate { settings: &settings, base: 2.0, steps_per_epoch: 10 };
        steps.iter().map(|&step| (rate.at(step) * 1e6).round_ties_even() / 1e6).collect()
    }

    #[test]
    fn courses() {
        assert_eq!(rates(Schedule::Constant {}, 0.0, &[0, 39]), [2.0, 2.0]);
        let step = Schedule::Step { milestones_epochs: vec![1.0, 2.5], gamma: 0.1 };
        assert_eq!(rates(step, 0.0, &[9, 10, 24, 25]), [2.0, 0.2, 0.2, 0.02]);
        let cosine = || Schedule::Cosine { final_lr_fraction: 0.0 };
        assert_eq!(rates(cosine(), 0.0, &[0, 20, 40]), [2.0, 1.0, 0.0]);
        let floor = Schedule::Cosine { final_lr_fraction: 0.5 };
        assert_eq!(rates(floor, 0.0, &[0, 20, 40, 99]), [2.0, 1.5, 1.0, 1.0]);
        assert_eq!(rates(cosine(), 1.0, &[0, 4, 9, 10, 25]), [0.2, 1.0, 2.0, 2.0, 1.0]);
    }

    #[test]
    fn a_warm_up_may_start_above_zero_and_be_shorter_than_a_step() {
        let settings = ScheduleSettings {
            schedule: Schedule::Constant {},
            epochs: 1,
            warmup_epochs: 0.2,
            warmup_start_fraction: 0.5,
        };
        let rate = LearningRate { settings: &settings, base: 1.0, steps_per_epoch: 10 };
        assert_eq!([0, 1, 2].map(|step| rate.at(step)), [0.75, 1.0, 1.0]);
        let rate = LearningRate { steps_per_epoch: 2, ..rate };
        assert_eq!(rate.at(0), 1.0);
    }
}
