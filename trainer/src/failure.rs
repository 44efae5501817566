//! Ends a rank after an error: maps errors to exit codes and reports them. No rank unwinds into MPI_Finalize.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Result;
use regatta_comm::{CommError, World, end_job, exit_after, first_failed};
use regatta_data::DataError;
use regatta_run_folder::{
    Attempt, AttemptRecord, Damaged, ExitCode, Failure, OutputError, RunFolder, StorageError,
};
use regatta_settings::RecipeError;
use regatta_torch_ext::CudaError;

use crate::{libtorch_errors, telemetry, terminal};

/// Time limit for writing the failure file and the error line, since file system and terminal may both hang.
const REPORT_LIMIT: Duration = Duration::from_secs(20);
/// Time that the other ranks give rank 0 to record a second request to stop.
const PEER_GRACE: Duration = Duration::from_millis(500);
/// Time limit for writing a line to the terminal.
const TERMINAL_LIMIT: Duration = Duration::from_secs(2);

/// A command or recipe that cannot be carried out as given.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// A file of weights that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unusable(pub(crate) String);

/// Values that are no longer finite.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Diverged(pub(crate) String);

/// A newer attempt owns the run folder: the scheduler restarted the job while this process was still running.
#[derive(Debug, thiserror::Error)]
#[error(
    "attempt {own} at {folder} is no longer the newest: another start of this run owns the folder; nothing more is written"
)]
pub(crate) struct Superseded {
    pub(crate) own: u64,
    pub(crate) folder: String,
}

/// Returns the exit code of an error, by its first known cause.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    let is = |code, found: bool| found.then_some(code);
    error
        .chain()
        .find_map(|cause| {
            is(ExitCode::Usage, cause.is::<RecipeError>() || cause.is::<Usage>() || cause.is::<CudaError>())
                .or(is(ExitCode::Storage, matches!(cause.downcast_ref(), Some(DataError::Write { .. }))))
                .or(is(ExitCode::Data, cause.is::<DataError>() || cause.is::<Unusable>()))
                .or(is(ExitCode::Diverged, cause.is::<Diverged>()))
                .or(is(ExitCode::Storage, cause.is::<StorageError>() || cause.is::<Damaged>()))
                .or(is(ExitCode::Storage, cause.is::<Superseded>()))
                .or(cause.downcast_ref().map(|error| match error {
                    OutputError::Exists(_) | OutputError::NotAFile { .. } => ExitCode::Usage,
                    OutputError::Storage(_) => ExitCode::Storage,
                }))
                .or(is(ExitCode::Communication, cause.is::<OtherRankFailed>()))
                .or(match cause.downcast_ref::<CommError>() {
                    Some(
                        CommError::SlurmWithoutPmix { .. }
                        | CommError::WithoutMpi { .. }
                        | CommError::Backend { .. },
                    ) => Some(ExitCode::Usage),
                    Some(CommError::Ledger(_)) => Some(ExitCode::Storage),
                    Some(CommError::NoGradient(_) | CommError::Torch(_)) => Some(ExitCode::Internal),
                    Some(_) => Some(ExitCode::Communication),
                    None => None,
                })
        })
        .unwrap_or(ExitCode::Internal)
}

/// Another rank failed where all had to succeed; that rank reports the error.
#[derive(Debug, thiserror::Error)]
#[error("rank {0} failed and did not end the job")]
struct OtherRankFailed(usize);

/// Returns the rank's outcome if all ranks succeeded. A collective, called by every rank with its own outcome.
///
/// # Errors
/// If some ranks failed, the first of them returns its error and ends the job with it; all others return that it failed.
pub(crate) fn together<T>(outcome: Result<T>, world: &World) -> Result<T> {
    match (first_failed(world, outcome.is_err()), outcome) {
        (Some(rank), outcome) if rank != world.rank() => {
            if let Err(error) = outcome {
                tracing::debug!("this rank fails with rank {rank}: {}", describe(&error));
            }
            Err(OtherRankFailed(rank).into())
        }
        (_, outcome) => outcome,
    }
}

/// Reports the error and ends the job. Before the ranks are connected they cannot agree on who reports an error that all have,
/// so the others wait a second: rank 0 reports it, and its exit ends them.
pub(crate) fn end_with(error: &anyhow::Error, rank: usize) -> ! {
    let patience = if error.is::<OtherRankFailed>() { 10 } else { u64::from(rank > 0) };
    std::thread::sleep(Duration::from_secs(patience));
    let (code, text) = (exit_code(error), describe(error));
    exit_after(REPORT_LIMIT, code.code());
    if error.is::<OtherRankFailed>() {
        log(&text);
    } else {
        record_failure(&text, rank, code);
    }
    print_error(&text, rank);
    end_job(code.code())
}

/// The run folder and attempt of this rank's failure file, once the attempt owns the folder. Global, as the panic hook is.
static FAILURE_FOLDER: OnceLock<(RunFolder, u64)> = OnceLock::new();

/// Makes later failures of this rank write a file into `folder`, for `attempt`.
pub(crate) fn record_failures_in(folder: &RunFolder, attempt: u64) {
    _ = FAILURE_FOLDER.set((folder.clone(), attempt));
}

/// Records an immediate exit on a second signal. Rank 0 writes it; the others wait a moment, since the first rank to exit ends
/// all.
pub(crate) fn record_immediate_exit(signal: i32, code: i32, rank: usize) {
    let text =
        format!("exited immediately on a second signal ({signal}), without a checkpoint of the last step");
    log(&text);
    match FAILURE_FOLDER.get() {
        Some((folder, attempt)) if rank == 0 => {
            // The process exits even if this cannot be written.
            _ = AttemptRecord::end_as_seen(folder, *attempt, &text, code);
        }
        _ => std::thread::sleep(PEER_GRACE.saturating_mul(u32::from(rank > 0))),
    }
}

/// Reports the watchdog's error, on the terminal only if `is_reporter`. The watchdog calls it before it ends the job.
pub(crate) fn report_watchdog_error(rank: usize, error: &CommError, is_reporter: bool) {
    record_failure(&error.to_string(), rank, ExitCode::Communication);
    if is_reporter {
        print_error(&error.to_string(), rank);
    }
}

/// Formats the error and its causes in one line, with libtorch's exceptions reworded.
pub(crate) fn describe(error: &anyhow::Error) -> String {
    let causes = error.chain().map(|cause| libtorch_errors::of_error(cause.to_string()));
    causes.collect::<Vec<_>>().join(": ")
}

/// Installs a panic hook that ends the job with exit code 70, for any thread. libtorch's exceptions arrive as panics too, since
/// the binding unwraps them.
pub(crate) fn install_panic_hook(rank: usize) {
    std::panic::set_hook(Box::new(move |panic| {
        exit_after(REPORT_LIMIT, ExitCode::Internal.code());
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let panic = panic.to_string();
        log(&panic);
        let text = libtorch_errors::of_panic(&panic)
            .unwrap_or_else(|| format!("internal error in thread {name}: {panic}"));
        record_failure(&text, rank, ExitCode::Internal);
        print_error(&text, rank);
        end_job(ExitCode::Internal.code())
    }));
}

/// Writes the error to the rank's log, if there is one.
fn log(text: &str) {
    tracing::debug!("the run ends with an error: {text}");
}

/// Writes the error to the rank's log, and to its failure file if the attempt still owns the run folder. Ignores errors, since
/// the job ends already.
fn record_failure(text: &str, rank: usize, code: ExitCode) {
    log(text);
    let Some((folder, attempt)) = FAILURE_FOLDER.get() else { return };
    if Attempt::newest(folder).is_ok_and(|newest| newest == Some(*attempt)) {
        _ = Failure::here(*attempt, rank, code, text).leave(folder);
    }
}

/// Prints the error on the terminal.
fn print_error(text: &str, rank: usize) {
    let prefix = if rank == 0 { String::new() } else { format!("rank {rank}: ") };
    // One write, so that the lines of several ranks do not mix.
    telemetry::clear_line();
    terminal::write_within(format!("error: {prefix}{text}\n").as_bytes(), TERMINAL_LIMIT);
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn causes_decide_the_exit_code() {
        let code = |error: anyhow::Error| exit_code(&error).code();
        assert_eq!(code(Usage("x".into()).into()), 2);
        assert_eq!(code(CudaError::NoDevice.into()), 2);
        assert_eq!(code(Unusable("x".into()).into()), 3);
        assert_eq!(code(Diverged("x".into()).into()), 5);
        let full = || std::io::Error::other("disk full");
        assert_eq!(code(DataError::Read { path: "x".into(), source: full() }.into()), 3);
        assert_eq!(code(DataError::Write { path: "x".into(), source: full() }.into()), 6);
        assert_eq!(code(CommError::SlurmWithoutPmix { tasks: 2 }.into()), 2);
        assert_eq!(code(CommError::RecipesDiffer { ranks: vec![1], hash: "0".into() }.into()), 4);
        assert_eq!(code(anyhow::anyhow!("anything else")), 70);
        let nested = Err::<(), _>(Diverged("x".into())).context("in step 7").unwrap_err();
        assert_eq!(code(nested), 5);
    }

    #[test]
    fn every_cause_is_described_once() {
        let cause = || std::io::Error::other("disk full");
        let path = std::path::PathBuf::from("x");
        let errors: [(anyhow::Error, &str); 5] = [
            (StorageError::io("write", "x")(cause()).into(), "cannot write x: disk full"),
            (OutputError::from(StorageError::io("write", "x")(cause())).into(), "cannot write x: disk full"),
            (DataError::Read { path: path.clone(), source: cause() }.into(), "cannot read x: disk full"),
            (RecipeError::Read { path, source: cause() }.into(), "cannot read the recipe x: disk full"),
            (CommError::from(nccl::Error::from(no_nccl())).into(), "no NCCL was found: libnccl.so.2"),
        ];
        for (error, expected) in errors {
            assert_eq!(describe(&error), expected);
            assert_eq!(format!("{error:#}"), expected);
            assert_eq!(describe(&error.context("in step 7")), format!("in step 7: {expected}"));
        }
    }

    fn no_nccl() -> nccl::OpenError {
        nccl::OpenError::NotFound { tried: vec!["libnccl.so.2".to_owned()] }
    }
}
