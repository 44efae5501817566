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

    /// Returns the learning rate of `step`, counted from 0 over the whole run; with `by_epoch`, that of the epoch's first step.
    /// The shape spans the steps after the warm-up, or all of them if the warm-up multiplies it, up to `schedule.epochs`, and
    /// then stays at its final value.
    pub(crate) fn at(&self, step: u64) -> f64 {
        let ScheduleSettings { by_epoch, warmup_multiplies, warmup_epochs, .. } = *self.settings;
        let step = if by_epoch { step - step % self.steps_per_epoch } else { step } as f64;
        let warmup = warmup_epochs * self.steps_per_epoch as f64;
        if warmup_multiplies {
            self.base * self.warmup(step, warmup) * self.shape(step, 0.0)
        } else if step < warmup {
            self.base * self.warmup(step, warmup)
        } else {
            self.base * self.shape(step, warmup)
        }
    }

    /// Returns the factor of a linear warm-up of `warmup` steps, 1 after it. Set at every step, it reaches 1 in the warm-up's
    /// last step. Set once an epoch it begins at the start fraction, as in pycls and torchvision's reference recipe.
    fn warmup(&self, step: f64, warmup: f64) -> f64 {
        if step >= warmup {
            return 1.0;
        }
        let start = self.settings.warmup_start_fraction;
        let passed = if self.settings.by_epoch { step / warmup } else { (step + 1.0) / warmup.max(1.0) };
        (start + (1.0 - start) * passed).min(1.0)
    }

    /// Returns the factor of the shape, which begins at step `begin`.
    fn shape(&self, step: f64, begin: f64) -> f64 {
        let per_epoch = self.steps_per_epoch as f64;
        let end = self.settings.epochs as f64 * per_epoch;
        let progress = ((step - begin) / (end - begin)).clamp(0.0, 1.0);
        match &self.settings.schedule {
            Schedule::Constant {} => 1.0,
            Schedule::Step { milestones_epochs, gamma } => {
                let passed = milestones_epochs.iter().filter(|&&epoch| epoch * per_epoch <= step).count();
                gamma.powi(passed as i32)
            }
            Schedule::Cosine { final_lr_fraction } => {
                let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
                final_lr_fraction + (1.0 - final_lr_fraction) * cosine
            }
            Schedule::Linear { final_lr_fraction } => 1.0 - (1.0 - final_lr_fraction) * progress,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A schedule of four epochs without a warm-up, at every step.
    fn settings(schedule: Schedule) -> ScheduleSettings {
        ScheduleSettings {
            schedule,
            epochs: 4,
            warmup_epochs: 0.0,
            warmup_start_fraction: 0.0,
            by_epoch: false,
            warmup_multiplies: false,
        }
    }

    /// Rates of these steps, of ten an epoch, for a base of 2.
    fn check(settings: &ScheduleSettings, steps: &[u64], expected: &[f64]) {
        let rate = LearningRate { settings, base: 2.0, steps_per_epoch: 10 };
        let rates: Vec<_> = steps.iter().map(|&step| (rate.at(step) * 1e6).round_ties_even() / 1e6).collect();
        assert_eq!(rates, expected, "{settings:?}");
    }

    const COSINE: Schedule = Schedule::Cosine { final_lr_fraction: 0.0 };

    #[test]
    fn courses() {
        check(&settings(Schedule::Constant {}), &[0, 39], &[2.0, 2.0]);
        let step = Schedule::Step { milestones_epochs: vec![1.0, 2.5], gamma: 0.1 };
        check(&settings(step), &[9, 10, 24, 25], &[2.0, 0.2, 0.2, 0.02]);
        check(&settings(COSINE), &[0, 20, 40], &[2.0, 1.0, 0.0]);
        let floor = Schedule::Cosine { final_lr_fraction: 0.5 };
        check(&settings(floor), &[0, 20, 40, 99], &[2.0, 1.5, 1.0, 1.0]);
        let linear = |final_lr_fraction| settings(Schedule::Linear { final_lr_fraction });
        check(&linear(0.0), &[0, 1, 20, 39, 40, 99], &[2.0, 1.95, 1.0, 0.05, 0.0, 0.0]);
        check(&linear(0.5), &[0, 20, 40, 99], &[2.0, 1.5, 1.0, 1.0]);
    }

    #[test]
    fn a_warm_up_comes_before_the_shape_or_multiplies_it() {
        let before = ScheduleSettings { warmup_epochs: 1.0, ..settings(COSINE) };
        check(&before, &[0, 4, 9, 10, 25, 40], &[0.2, 1.0, 2.0, 2.0, 1.0, 0.0]);
        let warmup_epochs = 2.0;
        let linear = settings(Schedule::Linear { final_lr_fraction: 0.0 });
        let times = ScheduleSettings { warmup_epochs, warmup_multiplies: true, ..linear };
        check(&times, &[0, 9, 19, 20, 30, 40], &[0.1, 0.775, 1.05, 1.0, 0.5, 0.0]);
        // A milestone within the warm-up counts from its end, or at once.
        let step = settings(Schedule::Step { milestones_epochs: vec![1.0], gamma: 0.1 });
        let before = ScheduleSettings { warmup_epochs, ..step };
        check(&before, &[9, 19, 20], &[1.0, 2.0, 0.2]);
        let times = ScheduleSettings { warmup_multiplies: true, ..before };
        check(&times, &[9, 19, 20], &[1.0, 0.2, 0.2]);
    }

    #[test]
    fn a_rate_set_by_epoch_is_that_of_the_epochs_start() {
        let by_epoch = ScheduleSettings { by_epoch: true, ..settings(COSINE) };
        check(&by_epoch, &[0, 9, 20, 29, 40], &[2.0, 2.0, 1.0, 1.0, 0.0]);
        let step = Schedule::Step { milestones_epochs: vec![1.5], gamma: 0.1 };
        check(&ScheduleSettings { by_epoch: true, ..settings(step) }, &[15, 19, 20], &[2.0, 2.0, 0.2]);
        let warm = ScheduleSettings { warmup_epochs: 2.0, warmup_start_fraction: 0.1, ..by_epoch };
        check(&warm, &[0, 9, 10, 19, 20, 29, 30], &[0.2, 0.2, 1.1, 1.1, 2.0, 2.0, 1.0]);
        // Half an epoch of warm-up is the whole first one.
        let short = ScheduleSettings { warmup_epochs: 0.5, ..warm };
        check(&short, &[0, 9], &[0.2, 0.2]);
        assert!(LearningRate { settings: &short, base: 2.0, steps_per_epoch: 10 }.at(10) > 1.9);
    }

    #[test]
    fn a_warm_up_may_start_above_zero_and_be_shorter_than_a_step() {
        let settings = ScheduleSettings {
            epochs: 1,
            warmup_epochs: 0.2,
            warmup_start_fraction: 0.5,
            ..settings(Schedule::Constant {})
        };
        let rate = LearningRate { settings: &settings, base: 1.0, steps_per_epoch: 10 };
        assert_eq!([0, 1, 2].map(|step| rate.at(step)), [0.75, 1.0, 1.0]);
        let rate = LearningRate { steps_per_epoch: 2, ..rate };
        assert_eq!(rate.at(0), 1.0);
    }
}
