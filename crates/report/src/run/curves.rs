//! What a run measured, as columns: step and epoch records, reduced to the points that are drawn.

use std::collections::{BTreeMap, BTreeSet};

use regatta_run_folder::{EpochRecord, StepRecord};
use serde::Serialize;

use super::downsample::chosen;
use super::records::{Line, Records};

/// The curves of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Curves {
    /// Number of step records.
    pub logged: usize,
    /// Quantities by step record.
    pub steps: Columns,
    /// Quantities by epoch record.
    pub epochs: Columns,
}

/// Quantities over the same rows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Columns {
    /// Steps done at each row.
    step: Vec<u64>,
    /// Epochs done at each row; `null` as long as no epoch is complete.
    epoch: Vec<f64>,
    /// Seconds of training at each row, over all attempts.
    seconds: Vec<f64>,
    series: BTreeMap<&'static str, Series>,
}

/// A quantity: its values, and the number of the row of each. Numbers have six significant digits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    rows: Vec<usize>,
    values: Vec<f64>,
}

/// A row before its reduction.
struct Row<T> {
    step: u64,
    epoch: f64,
    seconds: f64,
    record: T,
}

/// Phases of a step in order, stacked in one chart and therefore drawn at the same rows.
pub(super) const PHASES: [(&str, Value<StepRecord>); 6] = [
    ("data", |it| it.seconds_data),
    ("copy", |it| it.seconds_copy),
    ("forward", |it| it.seconds_forward),
    ("backward", |it| it.seconds_backward),
    ("exposed_comm", |it| it.seconds_exposed_comm),
    ("optimizer", |it| it.seconds_optimizer),
];

const OF_STEPS: [(&str, Value<StepRecord>); 14] = [
    ("loss", |it| it.loss),
    ("top1", |it| it.top1),
    ("lr", |it| it.lr),
    ("grad_norm", |it| it.grad_norm.unwrap_or(f64::NAN)),
    ("loss_scale", |it| it.loss_scale.unwrap_or(f64::NAN)),
    ("images_per_second", |it| it.images_per_second),
    ("peak_rss_mib", |it| it.peak_rss_mib),
    ("peak_device_mib", |it| it.peak_device_mib.unwrap_or(f64::NAN)),
    ("gpu_utilization", |it| it.gpu.gpu_utilization.unwrap_or(f64::NAN)),
    ("gpu_memory_mib", |it| it.gpu.gpu_memory_mib.unwrap_or(f64::NAN)),
    ("gpu_power_w", |it| it.gpu.gpu_power_w.unwrap_or(f64::NAN)),
    ("gpu_temperature_c", |it| it.gpu.gpu_temperature_c.unwrap_or(f64::NAN)),
    ("gpu_clock_mhz", |it| it.gpu.gpu_clock_mhz.unwrap_or(f64::NAN)),
    ("exposed_share", |it| it.seconds_exposed_comm / PHASES.iter().map(|(_, value)| value(it)).sum::<f64>()),
];

const OF_EPOCHS: [(&str, Value<EpochRecord>); 6] = [
    ("train_loss", |it| it.train_loss),
    ("train_top1", |it| it.train_top1),
    ("val_loss", |it| it.val_loss.unwrap_or(f64::NAN)),
    ("val_top1", |it| it.val_top1.unwrap_or(f64::NAN)),
    ("val_top5", |it| it.val_top5.unwrap_or(f64::NAN)),
    ("val_raw_top1", |it| it.val_raw_top1.unwrap_or(f64::NAN)),
];

type Value<T> = fn(&T) -> f64;

impl Curves {
    /// Reduces the records of a run to at most `most` points a curve. `planned` gives the images per second that were predicted for a
    /// record, if any.
    pub fn of(records: &Records, planned: impl Fn(&StepRecord) -> Option<f64>, most: usize) -> Self {
        let (steps, epochs) = rows(records);
        let phases = PHASES.map(|(name, value)| (name, column(&steps, value)));
        let sums: Vec<f64> =
            (0..steps.len()).map(|row| phases.iter().map(|(_, values)| values[row]).sum()).collect();
        let places = chosen(&sums, most);
        let alone = |(name, value): (&'static str, Value<StepRecord>)| {
            let values = column(&steps, value);
            (name, chosen(&values, most), values)
        };
        let together = phases.map(|(name, values)| (name, places.clone(), values));
        let planned: Vec<f64> = steps.iter().map(|row| planned(&row.record).unwrap_or(f64::NAN)).collect();
        let planned = [("planned_images_per_second", chosen(&planned, most), planned)];
        let of_epochs = OF_EPOCHS.map(|(name, value)| {
            let values = column(&epochs, value);
            (name, chosen(&values, most), values)
        });
        Self {
            logged: steps.len(),
            steps: Columns::of(
                &steps,
                OF_STEPS.into_iter().map(alone).chain(planned).chain(together).collect(),
            ),
            epochs: Columns::of(&epochs, of_epochs.into()),
        }
    }
}

impl Columns {
    /// Keeps the rows that some series draws. A series has a name, the places of what is drawn, and all its values.
    fn of<T>(rows: &[Row<T>], series: Vec<(&'static str, Vec<usize>, Vec<f64>)>) -> Self {
        let kept: BTreeSet<usize> = series.iter().flat_map(|(_, places, _)| places.iter().copied()).collect();
        let new: BTreeMap<usize, usize> = kept.iter().copied().zip(0..).collect();
        let reduced = |(name, places, values): (&'static str, Vec<usize>, Vec<f64>)| {
            let rows = places.iter().map(|place| new[place]).collect();
            (name, Series { rows, values: places.iter().map(|&place| rounded(values[place])).collect() })
        };
        Self {
            step: kept.iter().map(|&row| rows[row].step).collect(),
            epoch: kept.iter().map(|&row| rounded(rows[row].epoch)).collect(),
            seconds: kept.iter().map(|&row| rounded(rows[row].seconds)).collect(),
            series: series.into_iter().filter(|(_, places, _)| !places.is_empty()).map(reduced).collect(),
        }
    }
}

/// Returns the step and the epoch records with their places on the horizontal axes.
fn rows(records: &Records) -> (Vec<Row<StepRecord>>, Vec<Row<EpochRecord>>) {
    let steps_per_epoch = records.epochs().next().map_or(f64::NAN, |it| it.step as f64 / it.epoch as f64);
    let (mut steps, mut epochs) = (Vec::new(), Vec::new());
    let mut clock = Clock::default();
    for line in &records.lines {
        match line {
            Line::Step(record) => {
                let epoch = record.step as f64 / steps_per_epoch;
                steps.push(Row { step: record.step, epoch, seconds: clock.at(record), record: *record });
            }
            Line::Epoch(record) => {
                let epoch = record.epoch as f64;
                epochs.push(Row { step: record.step, epoch, seconds: clock.total(), record: *record });
            }
        }
    }
    (steps, epochs)
}

fn column<T>(rows: &[Row<T>], value: Value<T>) -> Vec<f64> {
    rows.iter().map(|row| value(&row.record)).collect()
}

/// The seconds of training over all processes of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// Seconds of the processes before the current one.
    before: f64,
    /// Seconds of the current process.
    now: f64,
    /// What tells processes apart: each needs its own time to the first step.
    to_first_step: f64,
}

impl Clock {
    /// Moves on to a step record and returns the total.
    pub(super) fn at(&mut self, record: &StepRecord) -> f64 {
        let (now, to_first_step) = (record.seconds_since_start, record.seconds_to_first_step);
        if now < self.now || (to_first_step.is_finite() && to_first_step != self.to_first_step) {
            self.before += self.now;
        }
        if now.is_finite() {
            (self.now, self.to_first_step) = (now, to_first_step);
        }
        self.total()
    }

    pub(super) fn total(&self) -> f64 {
        self.before + self.now
    }
}

/// Rounds to six significant digits, which keeps pages small.
pub(super) fn rounded(value: f64) -> f64 {
    if value.is_finite() { format!("{value:.5e}").parse().unwrap_or(value) } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64, seconds: f64, to_first_step: f64) -> String {
        format!(
            "{{\"kind\":\"step\",\"epoch\":1,\"step\":{step},\"images\":1,\"loss\":{step}.25,\"seconds_since_start\":{seconds},\
             \"seconds_to_first_step\":{to_first_step}}}\n"
        )
    }

    const EPOCH: &str =
        "{\"kind\":\"epoch\",\"epoch\":1,\"step\":4,\"images\":1,\"train_loss\":1.0,\"val_top1\":0.5}\n";

    #[test]
    fn times_of_processes_add_up_and_epochs_are_where_they_ended() {
        let content = line(2, 10.0, 3.0) + &line(4, 20.0, 3.0) + EPOCH + &line(6, 25.0, 4.0);
        let curves = Curves::of(&Records::of(content.as_bytes()), |_| None, 100);
        assert_eq!(curves.steps.step, [2, 4, 6]);
        assert_eq!(curves.steps.seconds, [10.0, 20.0, 45.0]);
        assert_eq!(curves.steps.epoch, [0.5, 1.0, 1.5]);
        assert_eq!((&curves.epochs.seconds, &curves.epochs.epoch), (&vec![20.0], &vec![1.0]));
        let loss = &curves.steps.series["loss"];
        assert_eq!(*loss, Series { rows: vec![0, 1, 2], values: vec![2.25, 4.25, 6.25] });
        assert!(
            !curves.steps.series.contains_key("grad_norm") && !curves.epochs.series.contains_key("val_loss")
        );
    }

    #[test]
    fn long_runs_are_reduced_and_rows_renumbered() {
        let content: String = (1..=1000).map(|step| line(step, step as f64, 1.0)).collect();
        let curves = Curves::of(&Records::of(content.as_bytes()), |_| None, 50);
        let loss = &curves.steps.series["loss"];
        assert!(loss.rows.len() <= 50 && curves.steps.step.len() <= 50, "{loss:?}");
        for (row, value) in loss.rows.iter().zip(&loss.values) {
            assert_eq!(curves.steps.step[*row] as f64 + 0.25, *value);
        }
        assert_eq!((loss.values.first(), loss.values.last()), (Some(&1.25), Some(&1000.25)));
        assert!(curves.steps.epoch.iter().all(|epoch| epoch.is_nan()), "no epoch is complete");
    }
}
