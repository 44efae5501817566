//! Signals that the launcher blocks while this process is loading and has no signal handlers yet.

use libc::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

/// The signals that ask a rank to stop.
const STOP_SIGNALS: [i32; 4] = [SIGINT, SIGTERM, SIGUSR1, SIGUSR2];

/// Unblocks the stop signals, which delivers those that are pending. Call it after installing the handlers, or at the start of
/// a program that installs none. Has no effect if the signals were not blocked.
pub fn unblock_stop_signals() {
    // SAFETY: sigset_t is plain bits, which sigemptyset makes valid; it is borrowed for the calls, and the old mask is not requested.
    unsafe {
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut signals);
        for signal in STOP_SIGNALS {
            libc::sigaddset(&mut signals, signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &signals, std::ptr::null_mut());
    }
}
