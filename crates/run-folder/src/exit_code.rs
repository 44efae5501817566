//! The exit codes of a run's processes, which scripts and the launcher act on.

/// The reason why a process ended, reported as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Completed successfully.
    Done = 0,
    /// Invalid command line or recipe: running again without a correction does not help.
    Usage = 2,
    /// The data set is missing or damaged.
    Data = 3,
    /// A peer was lost, an operation timed out, or the ranks' worlds do not match.
    Communication = 4,
    /// The loss is not finite.
    Diverged = 5,
    /// The run folder cannot be read or written, or a newer attempt owns it.
    Storage = 6,
    /// A bug in the program (a panic): report it. The number is `EX_SOFTWARE` of `sysexits.h`.
    Internal = 70,
    /// Stopped on request, with a checkpoint of the last step or before the first step: run again to continue. The number is
    /// `EX_TEMPFAIL`.
    Preempted = 75,
}

impl ExitCode {
    /// Returns the number that the process exits with.
    pub fn code(self) -> i32 {
        i32::from(self as u8)
    }
}
