//! Ctrl-C, TERM and the pre-emption signal: once to stop after the step with a checkpoint, twice to leave at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use regatta_comm::{end_job, exit_after, take_held_signals};
use regatta_settings::PreemptionSignal;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::{failure, telemetry, terminal};

/// Equal signals nearer to each other than this are one: a terminal and mpirun may both deliver the same key press.
const SAME_REQUEST: Duration = Duration::from_millis(200);

/// Different signals nearer than this are one: a scheduler that takes a node sends TERM, and its script what asks for a
/// checkpoint.
const SAME_CAUSE: Duration = Duration::from_secs(5);

/// What a rank that leaves at once is given for its last words.
const EXIT_LIMIT: Duration = Duration::from_secs(2);

/// Set once the process was asked to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Starts the thread `signals`, which lives as long as the process, touches only this flag, and ends the process on a second
    /// request. A signal that was held back until now counts.
    pub(crate) fn install(preemption: PreemptionSignal, rank: usize) -> Result<Self> {
        let flag = Self::default();
        let preemption = match preemption {
            PreemptionSignal::Usr1 => SIGUSR1,
            PreemptionSignal::Usr2 => SIGUSR2,
        };
        let mut signals = Signals::new([SIGINT, SIGTERM, preemption])?;
        let asked = flag.clone();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            let mut first: Option<(i32, Instant)> = None;
            for signal in signals.forever() {
                match first {
                    None => {
                        tracing::warn!(
                            "signal {signal}: stopping after this step; once more to leave at once"
                        );
                        first = Some((signal, Instant::now()));
                        asked.set();
                    }
                    Some((before, at)) => {
                        let one_request = if signal == before { SAME_REQUEST } else { SAME_CAUSE };
                        if at.elapsed() > one_request {
                            exit_immediately(signal, rank);
                        }
                    }
                }
            }
        })?;
        take_held_signals();
        Ok(flag)
    }

    /// Asks for a stop, as a signal does.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether a stop was asked for.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The exit code is the signal's, as a shell tells it: nothing was saved for this.
fn exit_immediately(signal: i32, rank: usize) -> ! {
    let code = 128 + signal;
    exit_after(EXIT_LIMIT, code);
    failure::record_immediate_exit(signal, code, rank);
    telemetry::clear_line();
    terminal::flush(EXIT_LIMIT / 2);
    end_job(code)
}
