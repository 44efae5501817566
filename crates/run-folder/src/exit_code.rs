//! How a process of a run may end: the exit codes that scripts and the launcher act on.

/// The reason for a process's end, as its exit code tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything that was asked for is done.
    Done = 0,
    /// Wrong command line or recipe: correct it, running again will not help.
    Usage = 2,
    /// The data set is missing or damaged.
    Data = 3,
    /// A peer was lost, an operation timed out, or the ranks' worlds do not match.
    Communication = 4,
    /// The loss is not finite.
    Diverged = 5,
    /// The run folder cannot be read or written, or belongs to another process by now.
    Storage = 6,
    /// A fault of the program (a panic): report it. The number is `EX_SOFTWARE` of `sysexits.h`.
    Internal = 70,
    /// Stopped on request, with a checkpoint of the last step or before any was taken: run again to go on. The number is
    /// `EX_TEMPFAIL`.
    Preempted = 75,
}

impl ExitCode {
    /// The number that the process ends with.
    pub fn code(self) -> i32 {
        i32::from(self as u8)
    }
}
