//! Measures the time of each phase of a step, with the clock on a CPU and with events on a GPU, which never block the host.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use anyhow::Result;
use regatta_comm::World;
use regatta_torch_ext::{Event, Stream};
use tch::Device;

/// The phases of a step, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Time that the step waits for a micro-batch from the loader.
    Data,
    /// Time spent waiting for the host-to-device copy, and normalising and resizing the images on the device.
    Copy,
    /// Forward pass and loss.
    Forward,
    /// Backward pass, with the all-reduces that overlap with it.
    Backward,
    /// Time spent waiting for collectives after the rank's own backward pass.
    ExposedComm,
    /// Gradient clipping, parameter update, running statistics, moving average.
    Optimizer,
}

/// Names of the phases in the log, in the order of [`Phase`].
const NAMES: [&str; 6] = ["data", "copy", "forward", "backward", "exposed comm", "optimizer"];

/// Seconds by phase.
pub(crate) type Seconds = [f64; 6];

/// Timing events of finished steps, for reuse: creating one costs the host as much as launching a kernel.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpareMarks(Rc<RefCell<Vec<Event>>>);

impl SpareMarks {
    /// Records an event at the end of the device's current stream.
    fn mark(&self, device: Device) -> Result<Event> {
        let stream = Stream::current(device)?;
        let Some(mut event) = self.0.borrow_mut().pop() else { return Ok(Event::after(stream, true)?) };
        event.record(stream)?;
        Ok(event)
    }
}

/// Measures one step.
#[derive(Debug)]
pub(crate) struct StepTimes {
    device: Device,
    spare: SpareMarks,
    last: Instant,
    host: Seconds,
    /// On a GPU, the end of each phase in the order of execution.
    marks: Vec<(Phase, Event)>,
    begin: Option<Event>,
}

impl StepTimes {
    /// Starts measuring a step.
    pub(crate) fn begin(device: Device, spare: &SpareMarks) -> Result<Self> {
        let begin = if device == Device::Cpu { None } else { Some(spare.mark(device)?) };
        Ok(Self {
            device,
            spare: spare.clone(),
            last: Instant::now(),
            host: [0.0; 6],
            marks: Vec::new(),
            begin,
        })
    }

    /// Assigns the time since the last call to `phase`.
    pub(crate) fn end(&mut self, phase: Phase) -> Result<()> {
        let now = Instant::now();
        if self.device == Device::Cpu {
            self.host[phase as usize] += (now - self.last).as_secs_f64();
        }
        self.last = now;
        if self.device != Device::Cpu {
            self.marks.push((phase, self.spare.mark(self.device)?));
        }
        Ok(())
    }

    /// Returns the seconds by phase. Waits until the device has passed the step's last event, which comes after the step's
    /// outcome.
    ///
    /// # Errors
    /// Device errors.
    pub(crate) fn seconds(&self) -> Result<Seconds> {
        let mut seconds = self.host;
        let Some(mut before) = self.begin.as_ref() else { return Ok(seconds) };
        if let Some((_, last)) = self.marks.last() {
            last.synchronize()?;
        }
        for (phase, end) in &self.marks {
            seconds[*phase as usize] += before.elapsed_ms(end)? / 1e3;
            before = end;
        }
        Ok(seconds)
    }
}

impl Drop for StepTimes {
    fn drop(&mut self) {
        let marks = self.marks.drain(..).map(|(_, event)| event);
        self.spare.0.borrow_mut().extend(marks.chain(self.begin.take()));
    }
}

/// Times by phase, summed over the steps of a log interval.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct IntervalTimes {
    sums: Seconds,
    steps: u64,
}

/// Time of a phase over all ranks, in seconds per step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// The fastest rank.
    pub(crate) min: f64,
    /// The median rank.
    pub(crate) median: f64,
    /// The slowest rank.
    pub(crate) max: f64,
}

/// The rank whose own work took longest, not counting the time spent waiting for collectives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Slowest {
    /// Its number.
    pub(crate) rank: usize,
    /// Its time divided by the median of the other ranks', at least 1; 1 if there is no other rank.
    pub(crate) times: f64,
}

impl IntervalTimes {
    /// Adds the times of a step.
    pub(crate) fn add(&mut self, seconds: &Seconds) {
        for (sum, value) in self.sums.iter_mut().zip(seconds) {
            *sum += value;
        }
        self.steps += 1;
    }

    /// Returns a phase's share of the time on this rank; none before a step.
    pub(crate) fn share(&self, phase: Phase) -> Option<f64> {
        let all: f64 = self.sums.iter().sum();
        (all > 0.0).then(|| self.sums[phase as usize] / all)
    }

    /// Returns the spread of every phase over the ranks, and the slowest rank. A collective.
    ///
    /// # Errors
    /// A failed collective.
    pub(crate) fn over_ranks(&self, world: &World) -> Result<([Spread; 6], Slowest)> {
        let means = self.sums.map(|sum| sum / self.steps.max(1) as f64);
        let ranks = world.gather::<Seconds>(&means)?;
        let spread = |phase: usize| {
            let mut values: Vec<f64> = ranks.iter().map(|rank| rank[phase]).collect();
            values.sort_by(f64::total_cmp);
            Spread { min: values[0], median: values[values.len() / 2], max: values[values.len() - 1] }
        };
        let own = |rank: &Seconds| rank.iter().sum::<f64>() - rank[Phase::ExposedComm as usize];
        Ok((std::array::from_fn(spread), Slowest::of(&ranks.iter().map(own).collect::<Vec<_>>())))
    }
}

impl Slowest {
    /// Finds the slowest rank, given the seconds that each rank's own work took.
    fn of(own: &[f64]) -> Self {
        let rank = (0..own.len()).max_by(|&a, &b| own[a].total_cmp(&own[b])).unwrap_or(0);
        let mut others: Vec<f64> = (0..own.len()).filter(|&other| other != rank).map(|it| own[it]).collect();
        others.sort_by(f64::total_cmp);
        let middle = others.get(others.len().saturating_sub(1) / 2).filter(|&&middle| middle > 0.0);
        Self { rank, times: middle.map_or(1.0, |middle| own[rank] / middle) }
    }
}

/// Formats the times for the log: milliseconds per step by phase, with minimum, median and maximum over the ranks.
pub(crate) fn phase_summary(phases: &[Spread; 6], slowest: Slowest) -> String {
    let phase = |(name, Spread { min, median, max }): (&&str, &Spread)| {
        format!("{name} {:.2}/{:.2}/{:.2}", min * 1e3, median * 1e3, max * 1e3)
    };
    let phases: Vec<_> = NAMES.iter().zip(phases).map(phase).collect();
    let Slowest { rank, times } = slowest;
    format!(
        "ms per step, min/median/max over ranks: {}; slowest rank {rank}, {times:.2} times the others",
        phases.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_averages_its_steps() {
        let mut interval = IntervalTimes::default();
        interval.add(&[1.0, 0.0, 2.0, 4.0, 0.0, 1.0]);
        interval.add(&[3.0, 0.0, 2.0, 6.0, 1.0, 1.0]);
        let (spreads, slowest) = interval.over_ranks(&World::alone()).unwrap();
        assert_eq!(spreads.map(|spread| spread.median), [2.0, 0.0, 2.0, 5.0, 0.5, 1.0]);
        assert_eq!((spreads[3].min, spreads[3].max), (5.0, 5.0));
        assert_eq!(slowest, Slowest { rank: 0, times: 1.0 });
    }

    #[test]
    fn the_slowest_rank_is_compared_with_the_median_of_the_others() {
        let of = |own: &[f64]| (Slowest::of(own).rank, Slowest::of(own).times);
        assert_eq!(of(&[1.0]), (0, 1.0));
        assert_eq!(of(&[1.0, 3.0]), (1, 3.0));
        assert_eq!(of(&[6.0, 1.0, 2.0, 5.0]), (0, 3.0));
        assert_eq!(of(&[0.0, 3.0]), (1, 1.0));
    }

    #[test]
    fn a_cpu_is_measured_by_the_clock() {
        let mut times = StepTimes::begin(Device::Cpu, &SpareMarks::default()).unwrap();
        times.end(Phase::Data).unwrap();
        times.end(Phase::Backward).unwrap();
        let seconds = times.seconds().unwrap();
        assert!(seconds[Phase::Data as usize] > 0.0 && seconds[Phase::Backward as usize] > 0.0);
        assert_eq!(seconds[Phase::Forward as usize], 0.0);
    }
}
