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
    /// The step that it resumed from.
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

/// Fills in the step that an attempt resumed from where an older version did not record it: that of the last checkpoint saved before.
pub(super) fn fill_resumed_steps<'a>(records: impl Iterator<Item = &'a mut AttemptRecord>) {
    let mut saved_step = 0;
    for record in records {
        let from_step = *record.start.from_step.get_or_insert(saved_step);
        saved_step = record.saved_step.unwrap_or(from_step);
    }
}

/// Returns the attempts, each given with the first failure that its ranks reported.
pub(super) fn of(records: &[(AttemptRecord, Option<Failure>)]) -> Vec<AttemptData> {
    records.iter().map(|(record, failure)| attempt(record, failure.as_ref())).collect()
}

fn attempt(record: &AttemptRecord, failure: Option<&Failure>) -> AttemptData {
    let AttemptRecord { number, start, saved_step, end } = record.clone();
    AttemptData {
        number,
        started_at: start.started_at,
        ended_at: end.as_ref().map(|end| end.ended_at.clone()),
        host: start.host,
        user: start.user,
        ranks: start.world_size,
        from_step: start.from_step.unwrap_or(0),
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
            AttemptRecord { number, start, saved_step, end: None }
        };
        let mut records: Vec<_> = (1..).zip(attempts).map(record).collect();
        fill_resumed_steps(records.iter_mut());
        records.iter().map(|record| record.start.from_step.unwrap()).collect()
    }

    #[test]
    fn an_attempt_resumed_from_the_step_that_it_recorded() {
        // The second attempt found the checkpoint of step 40 damaged.
        assert_eq!(from_steps(&[(Some(0), Some(40)), (Some(20), None), (Some(20), Some(90))]), [0, 20, 20]);
    }

    #[test]
    fn without_a_record_it_resumed_from_the_last_saved_step() {
        let saved = [Some(40), None, Some(90), None].map(|saved| (None, saved));
        assert_eq!(from_steps(&saved), [0, 40, 40, 90]);
    }
}
