//! Checkpoints at time intervals: rank 0 checks the clock, and all ranks learn of it with a step's outcome.

use std::time::{Duration, Instant};

/// The time since the last checkpoint.
#[derive(Debug)]
pub(crate) struct SaveClock {
    /// Set on rank 0 if checkpoints at time intervals are on.
    interval: Option<Duration>,
    last: Instant,
    agreed: bool,
}

impl SaveClock {
    /// Starts the clock for a checkpoint every `minutes` minutes; 0 turns it off.
    pub(crate) fn new(minutes: f64, rank: usize) -> Self {
        let interval = (minutes > 0.0 && rank == 0).then(|| Duration::from_secs_f64(minutes * 60.0));
        Self { interval, last: Instant::now(), agreed: false }
    }

    /// Returns whether this rank requests a checkpoint after the step that starts now.
    pub(crate) fn asks(&self) -> bool {
        self.interval.is_some_and(|interval| self.last.elapsed() >= interval)
    }

    /// Records whether some rank requested a checkpoint in a step.
    pub(crate) fn note(&mut self, asked: bool) {
        self.agreed |= asked;
    }

    /// Returns whether the ranks have agreed that a checkpoint is due.
    pub(crate) fn is_due(&self) -> bool {
        self.agreed
    }

    /// Restarts the interval after a checkpoint was saved for any reason.
    pub(crate) fn saved(&mut self) {
        (self.last, self.agreed) = (Instant::now(), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_0_asks_and_all_follow() {
        assert!(SaveClock::new(1e-12, 0).asks());
        assert!(!SaveClock::new(1e-12, 1).asks() && !SaveClock::new(0.0, 0).asks());
        assert!(!SaveClock::new(1000.0, 0).asks());
        let mut clock = SaveClock::new(1000.0, 1);
        clock.note(true);
        clock.note(false);
        assert!(clock.is_due());
        clock.saved();
        assert!(!clock.is_due());
    }
}
