//! When a checkpoint is due by the clock: rank 0 looks at it, and all ranks hear so with a step's outcome.

use std::time::{Duration, Instant};

/// The time since the last checkpoint.
#[derive(Debug)]
pub(crate) struct SaveClock {
    /// On rank 0, where there are checkpoints by the clock.
    interval: Option<Duration>,
    last: Instant,
    agreed: bool,
}

impl SaveClock {
    /// From now on, a checkpoint every so many minutes; 0 is off.
    pub(crate) fn new(minutes: f64, rank: usize) -> Self {
        let interval = (minutes > 0.0 && rank == 0).then(|| Duration::from_secs_f64(minutes * 60.0));
        Self { interval, last: Instant::now(), agreed: false }
    }

    /// Whether this rank asks for a checkpoint after the step that begins now.
    pub(crate) fn asks(&self) -> bool {
        self.interval.is_some_and(|interval| self.last.elapsed() >= interval)
    }

    /// What all ranks know of a step: whether one of them asked.
    pub(crate) fn note(&mut self, asked: bool) {
        self.agreed |= asked;
    }

    /// Whether all ranks know that a checkpoint is due.
    pub(crate) fn is_due(&self) -> bool {
        self.agreed
    }

    /// A checkpoint was saved, for whatever reason.
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
