//! Requests to stop: a first signal asks for a checkpoint, a second one for an end at once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

/// Signals within this time count as one request.
const SAME_REQUEST: Duration = Duration::from_millis(200);

/// The signals that request a stop. Once they are watched, they no longer end the process.
#[derive(Debug)]
pub(crate) struct StopSignals {
    signals: Signals,
    request: Option<StopRequest>,
}

/// A request to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopRequest {
    /// The signal; that of the second request if two came.
    pub(crate) signal: i32,
    /// Time of the first request.
    pub(crate) begun: Instant,
    /// Whether no checkpoint is waited for any longer, as after a second request.
    pub(crate) is_forced: bool,
}

impl StopSignals {
    /// Starts to watch the signals: first of all in a command, so that none is lost.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn watch() -> Result<Self> {
        let signals =
            Signals::new([SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP]).context("cannot watch signals")?;
        Ok(Self { signals, request: None })
    }

    /// Returns the request that came since the last call, if one did.
    pub(crate) fn take(&mut self) -> Option<StopRequest> {
        let mut new = None;
        for signal in self.signals.pending() {
            let begun = self.request.map_or_else(Instant::now, |request| request.begun);
            if self.request.is_none() || begun.elapsed() > SAME_REQUEST {
                new = Some(StopRequest { signal, begun, is_forced: self.request.is_some() });
                self.request = new;
            }
        }
        new
    }

    /// Returns the newest request of those that were taken.
    pub(crate) fn request(&self) -> Option<StopRequest> {
        self.request
    }
}
