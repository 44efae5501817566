//! Handles Ctrl-C, TERM and the pre-emption signal: the first stops after the step with a checkpoint, a second exits at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use regatta_comm::{end_job, exit_after, unblock_stop_signals};
use regatta_settings::PreemptionSignal;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::{failure, telemetry, terminal};

/// Equal signals closer together than this count as one: a terminal and mpirun may both deliver the same key press.
const SAME_REQUEST: Duration = Duration::from_millis(200);

/// Different signals closer together than this count as one: when a scheduler takes a node, it sends TERM and the job script
/// sends the pre-emption signal.
const SAME_CAUSE: Duration = Duration::from_secs(5);

/// Time limit for recording and reporting an immediate exit.
const EXIT_LIMIT: Duration = Duration::from_secs(2);

/// A flag that is set once the process was asked to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Starts the thread `signals`, which sets the flag on the first request and ends the process on a second one. It lives as
    /// long as the process. Signals that were held back until now are delivered.
    ///
    /// # Errors
    /// A handler or thread that cannot be started.
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
                            "signal {signal}: stopping after this step; send it again to exit immediately"
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
        unblock_stop_signals();
        Ok(flag)
    }

    /// Requests a stop, as a signal does.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether a stop was requested.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Exits with 128 plus the signal's number, as a shell reports it, since no checkpoint was saved.
fn exit_immediately(signal: i32, rank: usize) -> ! {
    let code = 128 + signal;
    exit_after(EXIT_LIMIT, code);
    failure::record_immediate_exit(signal, code, rank);
    telemetry::clear_line();
    terminal::flush(EXIT_LIMIT / 2);
    end_job(code)
}
