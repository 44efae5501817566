//! The attempts of a run and why they ended.

use regatta_run_folder::{AttemptRecord, Failure};
use serde::Serialize;

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptData {
    /// Its number, counted from 1.
    pub number: u64,
    /// Time of its start, UTC, RFC 3339.
    pub started_at: String,
    /// Time of its end; none while it runs, or if it was killed and nobody saw it.
    pub ended_at: Option<String>,
    /// Name of rank 0's host.
    pub host: String,
    /// Name of the user.
    pub user: String,
    /// Number of ranks.
    pub ranks: usize,
    /// The step from which it went on.
    pub from_step: u64,
    /// The step of the last checkpoint that it saved, if any.
    pub saved_step: Option<u64>,
    /// Description of its end.
    pub end: Option<String>,
    /// Its exit code.
    pub exit_code: Option<i32>,
    /// The first failure that a rank reported.
    pub failure: Option<String>,
    /// The command line.
    pub command: String,
}

/// Returns the attempts, given in order of their numbers, each with the first failure that its ranks reported. Older versions did not
/// record the step from which an attempt went on: it is taken to be the last that was saved.
pub(super) fn of(records: &[(AttemptRecord, Option<Failure>)]) -> Vec<AttemptData> {
    let mut saved_step = 0;
    let data = |(record, failure): &(AttemptRecord, Option<Failure>)| {
        let from_step = record.start.from_step.unwrap_or(saved_step);
        saved_step = record.saved_step.unwrap_or(from_step);
        attempt(record, failure.as_ref(), from_step)
    };
    records.iter().map(data).collect()
}

fn attempt(record: &AttemptRecord, failure: Option<&Failure>, from_step: u64) -> AttemptData {
    let AttemptRecord { number, start, saved_step, end } = record.clone();
    AttemptData {
        number,
        started_at: start.started_at,
        ended_at: end.as_ref().map(|end| end.ended_at.clone()),
        host: start.host,
        user: start.user,
        ranks: start.world_size,
        from_step,
        saved_step,
        exit_code: end.as_ref().map(|end| end.exit_code),
        end: end.map(|end| end.end),
        failure: failure.map(|it| format!("rank {} on {}: {}", it.rank, it.host, it.error)),
        command: start.command_line.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use regatta_run_folder::AttemptStart;

    use super::*;

    fn from_steps(attempts: &[(Option<u64>, Option<u64>)]) -> Vec<u64> {
        let start = AttemptStart::here(2, vec!["trainer".into(), "--resume".into()], 0);
        let record = |(number, &(from_step, saved_step))| {
            let start = AttemptStart { from_step, ..start.clone() };
            (AttemptRecord { number, start, saved_step, end: None }, None)
        };
        let records: Vec<_> = (1..).zip(attempts).map(record).collect();
        of(&records).iter().map(|attempt| attempt.from_step).collect()
    }

    #[test]
    fn an_attempt_goes_on_from_the_step_that_it_recorded() {
        // The second attempt found the checkpoint of step 40 damaged.
        assert_eq!(from_steps(&[(Some(0), Some(40)), (Some(20), None), (Some(20), Some(90))]), [0, 20, 20]);
    }

    #[test]
    fn without_a_record_it_went_on_from_the_last_step_that_was_saved() {
        let saved = [Some(40), None, Some(90), None].map(|saved| (None, saved));
        assert_eq!(from_steps(&saved), [0, 40, 40, 90]);
    }
}
