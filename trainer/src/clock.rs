//! Start times of process, epoch and log interval, for durations and throughput.

use std::time::Instant;

/// Start times of the process, the log interval and the epoch; the last two with the images consumed by then.
#[derive(Debug)]
pub(crate) struct Clock {
    process: Instant,
    seconds_to_first_step: Option<f64>,
    interval: (Instant, u64),
    epoch: (Instant, u64),
}

impl Clock {
    /// Creates a clock for a process that started at `process`.
    pub(crate) fn new(process: Instant) -> Self {
        let now = (Instant::now(), 0);
        Self { process, seconds_to_first_step: None, interval: now, epoch: now }
    }

    /// Returns the seconds since the process started.
    pub(crate) fn seconds(&self) -> f64 {
        self.process.elapsed().as_secs_f64()
    }

    /// Returns whether no step is done yet.
    pub(crate) fn is_before_first_step(&self) -> bool {
        self.seconds_to_first_step.is_none()
    }

    /// Returns the seconds from the start of the process to the end of the first step. The first call marks that end.
    pub(crate) fn seconds_to_first_step(&mut self) -> f64 {
        let now = self.seconds();
        *self.seconds_to_first_step.get_or_insert(now)
    }

    /// Starts an epoch, and with the first one a log interval.
    pub(crate) fn begin_epoch(&mut self, images: u64) {
        self.epoch = (Instant::now(), images);
        if self.is_before_first_step() {
            self.interval = self.epoch;
        }
    }

    /// Starts a log interval.
    pub(crate) fn begin_interval(&mut self, images: u64) {
        self.interval = (Instant::now(), images);
    }

    /// Images per second of the log interval.
    pub(crate) fn interval_rate(&self, images: u64) -> f64 {
        rate(self.interval, images)
    }

    /// Images per second of the epoch.
    pub(crate) fn epoch_rate(&self, images: u64) -> f64 {
        rate(self.epoch, images)
    }

    /// Seconds since the epoch began.
    pub(crate) fn epoch_seconds(&self) -> f64 {
        self.epoch.0.elapsed().as_secs_f64()
    }
}

/// Images per second since `since` (a time and the images consumed by then).
fn rate(since: (Instant, u64), images: u64) -> f64 {
    (images - since.1) as f64 / since.0.elapsed().as_secs_f64()
}
