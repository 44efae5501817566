//! Determines which rank failed first in an attempt, and how: from the error files that ranks leave, and from the starter's own
//! messages about ranks that could leave none.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitStatus;

use regatta_run_folder::{Failure, RunFolder};

use super::notice::{Notice, number};
use super::output::AttemptOutput;

/// Name of the culprit when no rank is known to have failed first.
const JOB: &str = "the job";

/// Why an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    /// Exit code of the job: that of the first rank that failed.
    pub(crate) code: i32,
    pub(crate) rank: Option<usize>,
    pub(crate) host: Option<String>,
    /// Who ended: used when no rank is known to have failed first.
    who: &'static str,
    /// `was killed by signal 9 (Killed)`, `ended with exit code 3`.
    how: String,
    error: Option<String>,
    /// The rank's log, if it exists.
    pub(crate) log: Option<PathBuf>,
}

impl Cause {
    /// Finds the cause for an attempt whose starter ended with `status` and printed `output`. `stalled` is the reason if the launcher
    /// itself ended the attempt.
    pub(crate) fn find(
        folder: &RunFolder,
        attempt: Option<u64>,
        status: ExitStatus,
        output: &AttemptOutput,
        stalled: Option<String>,
    ) -> Self {
        let failures =
            attempt.and_then(|attempt| Failure::of_attempt(folder, attempt).ok()).unwrap_or_default();
        let mut cause = match stalled {
            Some(why) => Self::of_stall(why),
            None => Self::of(&failures, output, status),
        };
        cause.log = attempt.and(cause.rank).map(|rank| folder.log(rank)).filter(|log| log.exists());
        cause
    }

    /// A rank that was killed by a signal takes precedence: errors on the other ranks follow from it.
    fn of(failures: &[Failure], output: &AttemptOutput, status: ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let notice = Notice::read(&output.starter_lines);
        let of_starter = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        if let Some(signal) = notice.signal {
            let own = failures.iter().find(|failure| Some(failure.rank) == notice.rank);
            let by_signal = signal.strip_prefix("signal ").and_then(number).map(|signal| 128 + signal as i32);
            let code = own.map(|failure| failure.exit_code).or(by_signal).unwrap_or(of_starter);
            let error = own.map(|failure| failure.error.clone());
            let how = format!("was killed by {signal}");
            return Self { rank: notice.rank, host: notice.host, error, ..Self::of_job(code, how) };
        }
        if let Some(Failure { rank, host, exit_code, error, .. }) = failures.first().cloned() {
            let how = format!("ended with exit code {exit_code}");
            let (rank, host, error) = (Some(rank), Some(host), Some(error));
            return Self { rank, host, error, ..Self::of_job(exit_code, how) };
        }
        if let Some(signal) = status.signal() {
            // Its ranks had no time to report anything, and did not cause it.
            let how = format!("itself was killed by {}", signal_name(signal));
            return Self { who: output.starter_name, ..Self::of_job(of_starter, how) };
        }
        let code = notice.code.unwrap_or(of_starter);
        // A rank that fails before its attempt has begun cannot write an error file.
        let printed =
            output.rank_error.clone().filter(|(rank, _)| notice.rank.is_none_or(|first| first == *rank));
        let (rank, error) = printed.unzip();
        let how = format!("ended with exit code {code}");
        Self { rank: notice.rank.or(rank), host: notice.host, error, ..Self::of_job(code, how) }
    }

    fn of_stall(why: String) -> Self {
        let code = regatta_run_folder::ExitCode::Communication.code();
        Self { error: Some(why), ..Self::of_job(code, "was ended here".to_owned()) }
    }

    /// A cause that names no rank.
    fn of_job(code: i32, how: String) -> Self {
        Self { code, rank: None, host: None, who: JOB, how, error: None, log: None }
    }
}

/// `signal 9 (Killed)`; signals that do not usually end an mpirun are given by number only.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => " (Hangup)",
        2 => " (Interrupt)",
        6 => " (Aborted)",
        9 => " (Killed)",
        10 => " (User defined signal 1)",
        11 => " (Segmentation fault)",
        12 => " (User defined signal 2)",
        15 => " (Terminated)",
        _ => "",
    };
    format!("signal {signal}{name}")
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rank {
            Some(rank) => write!(f, "rank {rank}")?,
            None => f.write_str(self.who)?,
        }
        if let Some(host) = &self.host {
            write!(f, " on {host}")?;
        }
        write!(f, " {}", self.how)?;
        match &self.error {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use regatta_run_folder::ExitCode;

    use super::*;

    fn describe(failures: &[Failure], starter: &str, status: i32) -> String {
        let output = AttemptOutput {
            starter_name: "mpirun",
            starter_lines: starter.lines().map(str::to_owned).collect(),
            rank_error: None,
        };
        let status = ExitStatus::from_raw(if status < 0 { -status } else { status << 8 });
        let cause = Cause::of(failures, &output, status);
        format!("{cause} [{}]", cause.code)
    }

    fn failure(rank: usize, code: ExitCode, error: &str) -> Failure {
        Failure { host: "h".into(), ..Failure::here(1, rank, code, error) }
    }

    #[test]
    fn without_error_files_the_starters_message_names_the_rank() {
        let killed = "mpirun noticed that process rank 1 with PID 0 on node vm exited on signal 9 (Killed).";
        assert_eq!(describe(&[], killed, 137), "rank 1 on vm was killed by signal 9 (Killed) [137]");
        let exited = "The first process to do so was:\n\n  Process name: [[41234,1],3]\n  Exit code:    6\n";
        assert_eq!(describe(&[], exited, 6), "rank 3 ended with exit code 6 [6]");
        let aborted = "MPI_ABORT was invoked on rank 2 in communicator MPI_COMM_WORLD\nwith errorcode 70.\n";
        assert_eq!(describe(&[], aborted, 70), "rank 2 ended with exit code 70 [70]");
        let five =
            "prterun noticed that process rank 1 with PID 21730 on node vm exited on\nsignal 9 (Killed).";
        assert_eq!(describe(&[], five, 137), "rank 1 on vm was killed by signal 9 (Killed) [137]");
        let five = "The first process to do so was:\n\n   Process name: [prterun-vm-21132@1,1]\n   Exit code:    5\n";
        assert_eq!(describe(&[], five, 5), "rank 1 ended with exit code 5 [5]");
        // MPICH does not say which rank it was.
        let killed = "=   PID 21841 RUNNING AT vm\n=   EXIT CODE: 9\n\
                      YOUR APPLICATION TERMINATED WITH THE EXIT STRING: Killed (signal 9)\n";
        assert_eq!(describe(&[], killed, 9), "the job on vm was killed by signal 9 (Killed) [137]");
        let srun = "srun: error: node2: task 1: Killed\nsrun: error: node1: task 0: Exited with exit code 1";
        assert_eq!(describe(&[], srun, 137), "rank 1 on node2 was killed by signal 9 (Killed) [137]");
        assert_eq!(describe(&[], "", -9), "mpirun itself was killed by signal 9 (Killed) [137]");
    }

    #[test]
    fn error_files_name_the_cause_unless_a_rank_was_killed() {
        let [first, second] =
            [failure(3, ExitCode::Data, "image 7 is damaged"), failure(0, ExitCode::Communication, "late")];
        let both = [first.clone(), second.clone()];
        assert_eq!(describe(&both, "", 137), "rank 3 on h ended with exit code 3: image 7 is damaged [3]");
        // What others say after one was killed follows from that.
        let killed = "mpirun noticed that process rank 1 with PID 0 on node vm exited on signal 9 (Killed).";
        assert_eq!(describe(&[second], killed, 137), "rank 1 on vm was killed by signal 9 (Killed) [137]");
    }

    #[test]
    fn without_an_error_file_the_printed_error_is_reported() {
        let cause = |starter: &str| {
            let error = Some((0, "cannot create runs/x/attempts/000002: No space left".to_owned()));
            let output = AttemptOutput {
                starter_name: "mpirun",
                starter_lines: starter.lines().map(str::to_owned).collect(),
                rank_error: error,
            };
            Cause::of(&[], &output, ExitStatus::from_raw(6 << 8)).to_string()
        };
        let expected = "rank 0 ended with exit code 6: cannot create runs/x/attempts/000002: No space left";
        assert_eq!(cause(""), expected);
        assert_eq!(cause("MPI_ABORT was invoked on rank 0 in communicator\nwith errorcode 6."), expected);
        let other = cause("MPI_ABORT was invoked on rank 1 in communicator\nwith errorcode 6.");
        assert_eq!(other, "rank 1 ended with exit code 6");
    }
}
