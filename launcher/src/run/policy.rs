//! Restart policy: decides from the history of failed attempts whether to start another. A pure function.

use std::time::Duration;

use regatta_run_folder::ExitCode;

/// Longest wait before a restart.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);

/// How far a failed attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// Exit code of the first rank that failed.
    pub(crate) code: i32,
    /// The step that it was in, if it reached one.
    pub(crate) step: Option<u64>,
    /// Step of the newest checkpoint after the attempt.
    pub(crate) checkpoint: Option<u64>,
}

/// The user's limits on restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) max_restarts: usize,
    pub(crate) back_off: Duration,
}

/// The decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Restart { after: Duration },
    GiveUp { why: String },
}

/// Decides after the failures of `history`, oldest first.
pub(crate) fn next(history: &[Failed], limits: Limits) -> Next {
    let give_up = |why: String| Next::GiveUp { why };
    let Some(last) = history.last() else { return Next::Restart { after: Duration::ZERO } };
    let permanent = [ExitCode::Usage, ExitCode::Data, ExitCode::Diverged];
    if permanent.iter().any(|code| code.code() == last.code) {
        return give_up(format!("a restart would end with exit code {} again", last.code));
    }
    if history.len() > limits.max_restarts {
        return give_up(format!("--max-restarts {} is reached", limits.max_restarts));
    }
    let is_storage = |it: &Failed| it.code == ExitCode::Storage.code() && it.step.is_none();
    match history {
        // The folder never worked: it is damaged or not writable.
        [only] if is_storage(only) => return give_up("the run folder cannot be used as it is".into()),
        [.., before, last] if is_storage(before) && is_storage(last) => {
            return give_up("the run folder failed twice in a row before any step".into());
        }
        _ => {}
    }
    // Attempts that reached no step are exempt: a host or a file system may come back.
    if let ([.., before, _], Some(step)) = (history, last.step)
        && (before.step, before.checkpoint) == (last.step, last.checkpoint)
    {
        return give_up(format!("it failed in step {step} twice in a row"));
    }
    let without_progress =
        history.iter().rev().take_while(|it| it.checkpoint == last.checkpoint).count() as u32;
    let doubled = limits.back_off.saturating_mul(1 << (without_progress - 1).min(16));
    Next::Restart { after: doubled.min(LONGEST_BACK_OFF) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { max_restarts: 3, back_off: Duration::from_secs(5) };

    fn failed(code: i32, step: Option<u64>, checkpoint: Option<u64>) -> Failed {
        Failed { code, step, checkpoint }
    }

    fn why(history: &[Failed]) -> String {
        match next(history, LIMITS) {
            Next::GiveUp { why } => why,
            Next::Restart { after } => format!("restart after {after:?}"),
        }
    }

    #[test]
    fn permanent_failures_are_not_restarted() {
        for code in [2, 3, 5] {
            assert_eq!(
                why(&[failed(code, Some(7), None)]),
                format!("a restart would end with exit code {code} again")
            );
        }
        for code in [1, 4, 6, 70, 137] {
            assert_eq!(why(&[failed(code, Some(7), None)]), "restart after 5s");
        }
    }

    #[test]
    fn a_crash_loop_stops() {
        let at = |step| failed(137, step, Some(10));
        assert_eq!(why(&[at(Some(17)), at(Some(17))]), "it failed in step 17 twice in a row");
        assert_eq!(why(&[at(None), at(None)]), "restart after 10s");
        assert_eq!(why(&[at(Some(17)), at(Some(18))]), "restart after 10s");
    }

    /// A full disk may be emptied; one on which nothing ever worked is the user's to see to.
    #[test]
    fn an_unusable_folder_is_not_retried_forever() {
        let none = failed(6, None, None);
        let (at_30, again) = (failed(6, Some(30), Some(20)), failed(6, None, Some(20)));
        assert_eq!(why(&[none]), "the run folder cannot be used as it is");
        assert_eq!(why(&[at_30, again]), "restart after 10s");
        let twice = "the run folder failed twice in a row before any step";
        assert_eq!(why(&[at_30, again, again]), twice);
        assert_eq!(why(&[failed(137, None, None), none]), "restart after 10s");
    }

    #[test]
    fn the_back_off_doubles_without_a_new_checkpoint() {
        let at = |step, checkpoint| failed(4, Some(step), Some(checkpoint));
        assert_eq!(why(&[at(12, 10), at(14, 10), at(13, 10)]), "restart after 20s");
        assert_eq!(why(&[at(12, 10), at(14, 10), at(23, 20)]), "restart after 5s");
        assert_eq!(why(&[at(1, 0), at(12, 10), at(22, 20), at(33, 30)]), "--max-restarts 3 is reached");
        let long = Limits { max_restarts: 100, back_off: Duration::from_secs(200) };
        let history = [at(12, 10), at(14, 10)];
        assert_eq!(next(&history, long), Next::Restart { after: LONGEST_BACK_OFF });
    }
}
