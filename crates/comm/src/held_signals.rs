//! Signals that whoever started this process held back for the time in which it is loaded and has no handlers yet.

use libc::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

/// Those that ask a rank to stop.
const ASKING: [i32; 4] = [SIGINT, SIGTERM, SIGUSR1, SIGUSR2];

/// Takes them from now on, those that came before included. Comes when the handlers are installed, and where there are none
/// to install; harmless where nothing was held back.
pub fn take_held_signals() {
    // SAFETY: sigset_t is plain bits, which sigemptyset makes valid; it is borrowed for the calls, and the old mask is not asked for.
    unsafe {
        let mut asking: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut asking);
        for signal in ASKING {
            libc::sigaddset(&mut asking, signal);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &asking, std::ptr::null_mut());
    }
}
