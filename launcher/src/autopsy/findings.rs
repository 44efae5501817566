//! Findings about an attempt's end: a pure function of the evidence that it left.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use regatta_ledger::{ALIVE, Entry, Snapshot};
use regatta_run_folder::{AttemptRecord, ExitCode, Failure, counted};
use serde::Serialize;

use super::silence::{FirstSilent, LastSnapshot, as_of, first_silent, proven};

/// Most ranks to list; of more, those that fell silent first or are behind.
const MAX_LISTED_RANKS: usize = 8;

/// The files that an attempt left in the run folder.
pub(crate) struct Evidence {
    pub(crate) record: AttemptRecord,
    /// Failures in order of time.
    pub(crate) failures: Vec<Failure>,
    /// The last known ledgers, sorted by rank.
    pub(crate) ledgers: Vec<LastSnapshot>,
    /// Whether a process of the attempt is known to be gone.
    pub(crate) has_gone: bool,
    /// Time since the last sign of life of any rank.
    pub(crate) silent_for: Duration,
    /// The newest complete checkpoint.
    pub(crate) checkpoint: Option<PathBuf>,
    /// Returns a rank's log, if it exists.
    pub(crate) log_of: Box<dyn Fn(usize) -> Option<PathBuf>>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunState {
    Done,
    Preempted,
    Running,
    Failed,
}

/// The findings.
#[derive(Debug, Serialize)]
pub(crate) struct Autopsy {
    state: RunState,
    attempt: u64,
    started_at: String,
    host: String,
    world_size: usize,
    /// The recorded end.
    end: Option<String>,
    exit_code: Option<i32>,
    first_failure: Option<FirstFailure>,
    /// The rank that was killed, lost or hung, by its heartbeats.
    first_silent: Option<FirstSilent>,
    /// Who waited for whom, proven by the ledgers.
    verdict: Option<String>,
    ranks: Vec<RankFinding>,
    checkpoint: Option<PathBuf>,
}

/// The first rank that reported a failure.
#[derive(Debug, Serialize)]
struct FirstFailure {
    rank: usize,
    host: String,
    failed_at: String,
    exit_code: i32,
    error: String,
    log: Option<PathBuf>,
}

/// State of a rank at the end.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct RankFinding {
    rank: usize,
    host: String,
    step: u64,
    last_completed: Option<String>,
    waits_in: Option<String>,
    /// Seconds between its last heartbeat and the last of all ranks.
    silent_before_the_end_s: u64,
}

impl Autopsy {
    pub(crate) fn of(evidence: &Evidence) -> Self {
        let record = &evidence.record;
        let end = record.end.as_ref();
        let state = match end.map(|end| end.exit_code) {
            Some(code) if code == ExitCode::Done.code() => RunState::Done,
            Some(code) if code == ExitCode::Preempted.code() => RunState::Preempted,
            None if evidence.failures.is_empty() && evidence.silent_for < ALIVE && !evidence.has_gone => {
                RunState::Running
            }
            _ => RunState::Failed,
        };
        let is_failed = state == RunState::Failed;
        let ledgers =
            evidence.failures.first().map(|first| as_of(evidence.ledgers.clone(), first.failed_at_ms));
        let ledgers =
            if is_failed { ledgers.unwrap_or_else(|| evidence.ledgers.clone()) } else { Vec::new() };
        let reported_failure = |rank| evidence.failures.iter().any(|failure| failure.rank == rank);
        Self {
            state,
            attempt: record.number,
            started_at: record.start.started_at.clone(),
            host: record.start.host.clone(),
            world_size: record.start.world_size,
            end: end.map(|end| end.end.clone()),
            exit_code: end.map(|end| end.exit_code),
            first_failure: evidence.failures.first().map(|failure| FirstFailure::of(failure, evidence)),
            first_silent: first_silent(&ledgers).filter(|silent| !reported_failure(silent.rank)),
            verdict: proven(&ledgers).map(|verdict| verdict.to_string()),
            ranks: ranks(&ledgers),
            checkpoint: evidence.checkpoint.clone(),
        }
    }
}

impl FirstFailure {
    fn of(failure: &Failure, evidence: &Evidence) -> Self {
        let Failure { rank, host, failed_at, exit_code, error, .. } = failure.clone();
        Self { rank, host, failed_at, exit_code, error, log: (evidence.log_of)(rank) }
    }
}

fn ranks(ledgers: &[LastSnapshot]) -> Vec<RankFinding> {
    let snapshots = ledgers.iter().map(|ledgers| &ledgers.snapshot);
    let last_ns = snapshots.clone().map(|snapshot| snapshot.heartbeat_ns).max().unwrap_or(0);
    let finding = |snapshot: &Snapshot| {
        let completed = snapshot.entries.iter().rev().find(|entry| entry.completed_ns.is_some());
        RankFinding {
            rank: snapshot.rank,
            host: snapshot.host.clone(),
            step: snapshot.step,
            last_completed: completed.map(Entry::to_string),
            waits_in: snapshot.oldest_unfinished().map(Entry::to_string),
            silent_before_the_end_s: (last_ns - snapshot.heartbeat_ns) / 1_000_000_000,
        }
    };
    let mut ranks: Vec<_> = snapshots.map(finding).collect();
    if ranks.len() > MAX_LISTED_RANKS {
        // Those that fell silent first, and those that are behind.
        ranks.sort_by_key(|it| {
            (std::cmp::Reverse(it.silent_before_the_end_s), it.step, it.waits_in.is_some(), it.rank)
        });
        ranks.truncate(MAX_LISTED_RANKS);
    }
    ranks
}

impl fmt::Display for Autopsy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempt, started_at, host, world_size, .. } = self;
        let state = match self.state {
            RunState::Done => "is done",
            RunState::Preempted => "was stopped on request, with a checkpoint",
            RunState::Running => "is running: its ranks are alive",
            RunState::Failed => "failed",
        };
        let ranks = counted(*world_size, "rank");
        writeln!(f, "attempt {attempt} ({ranks}, started {started_at} by {host}) {state}")?;
        if self.state == RunState::Failed {
            self.write_failure(f)?;
        }
        match &self.checkpoint {
            Some(checkpoint) => writeln!(f, "newest complete checkpoint: {}", checkpoint.display()),
            None => writeln!(f, "no complete checkpoint"),
        }
    }
}

impl Autopsy {
    fn write_failure(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.end, self.exit_code) {
            (Some(end), Some(code)) => writeln!(f, "ended with exit code {code}: {end}")?,
            _ => writeln!(f, "its end was not recorded: rank 0 ended too early")?,
        }
        if let Some(FirstFailure { rank, host, failed_at, exit_code, error, log }) = &self.first_failure {
            let log = log.as_ref().map_or(String::new(), |log| format!(" (log: {})", log.display()));
            writeln!(
                f,
                "first reported failure: rank {rank} on {host} at {failed_at}, exit code {exit_code}: {error}{log}"
            )?;
        }
        if let Some(FirstSilent { rank, host, process_id, before_s }) = &self.first_silent {
            let why = "without reporting an error: killed (for example out of memory: see dmesg there), stopped, or cut off";
            writeln!(
                f,
                "first to fall silent: rank {rank} on {host} (process {process_id}), {before_s:.1} s before the next, {why}"
            )?;
        }
        if let Some(verdict) = &self.verdict {
            writeln!(f, "the ledgers: {verdict}")?;
        }
        for rank in &self.ranks {
            writeln!(f, "{rank}")?;
        }
        match self.world_size.saturating_sub(self.ranks.len()) {
            others if others > 0 && !self.ranks.is_empty() => writeln!(f, "and {others} other ranks"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for RankFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} on {}: step {}", self.rank, self.host, self.step)?;
        if let Some(completed) = &self.last_completed {
            write!(f, ", completed {completed}")?;
        }
        match &self.waits_in {
            Some(entry) => write!(f, ", waits in {entry}")?,
            None => write!(f, ", in no collective")?,
        }
        match self.silent_before_the_end_s {
            0..=2 => Ok(()),
            seconds => write!(f, ", silent for the last {seconds} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use regatta_ledger::{Collective, Element, Operation};
    use regatta_run_folder::{AttemptEnd, AttemptStart};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn snapshot(rank: usize, completed: u64, entered: u64, heartbeat_s: u64) -> Snapshot {
        let collective = Collective { operation: Operation::AllReduce, element: Element::F32, bytes: 4096 };
        let entry = |sequence| Entry {
            sequence,
            step: 7,
            collective,
            entered_ns: 1,
            completed_ns: (sequence <= completed).then_some(2),
        };
        Snapshot {
            rank,
            world_size: 2,
            host: format!("node{}", rank + 1),
            process_id: 100,
            nonce: 1,
            step: 7,
            heartbeat_ns: heartbeat_s * SECOND,
            entries: (1..=entered).map(entry).collect(),
        }
    }

    fn evidence(end: Option<(&str, i32)>, failures: Vec<Failure>, snapshots: Vec<Snapshot>) -> Evidence {
        let start = AttemptStart {
            started_at: "2026-01-31T08:15:00Z".into(),
            user: "u".into(),
            host: "node1".into(),
            process_id: 100,
            world_size: 2,
            command_line: vec![],
            from_step: None,
        };
        let end = end.map(|(end, exit_code)| AttemptEnd {
            ended_at: "2026-01-31T09:00:00Z".into(),
            end: end.into(),
            exit_code,
        });
        let ledgers =
            snapshots.into_iter().map(|snapshot| LastSnapshot { snapshot, is_exact: false }).collect();
        Evidence {
            has_gone: false,
            record: AttemptRecord { number: 3, start, saved_step: None, end },
            failures,
            ledgers,
            silent_for: Duration::from_secs(3600),
            checkpoint: Some("runs/x/checkpoints/step-000000005".into()),
            log_of: Box::new(|rank| Some(format!("runs/x/log/rank-{rank:04}.log").into())),
        }
    }

    fn check(evidence: &Evidence, expected: Expect) {
        expected.assert_eq(&Autopsy::of(evidence).to_string());
    }

    #[test]
    fn a_run_that_ended_well_or_is_running() {
        check(
            &evidence(Some(("done", 0)), vec![], vec![]),
            expect![[r#"
            attempt 3 (2 ranks, started 2026-01-31T08:15:00Z by node1) is done
            newest complete checkpoint: runs/x/checkpoints/step-000000005
        "#]],
        );
        check(
            &evidence(Some(("stopped on request, checkpoint saved", 75)), vec![], vec![]),
            expect![[r#"
            attempt 3 (2 ranks, started 2026-01-31T08:15:00Z by node1) was stopped on request, with a checkpoint
            newest complete checkpoint: runs/x/checkpoints/step-000000005
        "#]],
        );
        let alive = Evidence { silent_for: Duration::from_secs(1), ..evidence(None, vec![], vec![]) };
        check(
            &alive,
            expect![[r#"
            attempt 3 (2 ranks, started 2026-01-31T08:15:00Z by node1) is running: its ranks are alive
            newest complete checkpoint: runs/x/checkpoints/step-000000005
        "#]],
        );
    }

    #[test]
    fn the_silent_rank_and_the_rank_that_reported_a_timeout_are_both_named() {
        let failure = Failure {
            host: "node1".into(),
            failed_at: "2026-01-31T08:59:00Z".into(),
            ..Failure::here(3, 0, ExitCode::Communication, "a collective has not completed after 60 s")
        };
        let snapshots = vec![snapshot(0, 4, 5, 200), snapshot(1, 4, 4, 130)];
        check(
            &evidence(None, vec![failure], snapshots),
            expect![[r#"
                attempt 3 (2 ranks, started 2026-01-31T08:15:00Z by node1) failed
                its end was not recorded: rank 0 ended too early
                first reported failure: rank 0 on node1 at 2026-01-31T08:59:00Z, exit code 4: a collective has not completed after 60 s (log: runs/x/log/rank-0000.log)
                first to fall silent: rank 1 on node2 (process 100), 70.0 s before the next, without reporting an error: killed (for example out of memory: see dmesg there), stopped, or cut off
                the ledgers: rank 1 on node2 is behind: it last entered collective 4 (all_reduce of 4.0 KiB in f32, step 7) and never entered collective 5 (all_reduce of 4.0 KiB in f32, step 7), in which rank 0 waits
                rank 0 on node1: step 7, completed collective 4 (all_reduce of 4.0 KiB in f32, step 7), waits in collective 5 (all_reduce of 4.0 KiB in f32, step 7)
                rank 1 on node2: step 7, completed collective 4 (all_reduce of 4.0 KiB in f32, step 7), in no collective, silent for the last 70 s
                newest complete checkpoint: runs/x/checkpoints/step-000000005
            "#]],
        );
    }

    #[test]
    fn a_rank_that_was_killed() {
        let end = Some(("rank 1 on node2 was killed by signal 9 (Killed)", 137));
        check(
            &evidence(end, vec![], vec![snapshot(0, 4, 5, 200), snapshot(1, 5, 5, 199)]),
            expect![[r#"
            attempt 3 (2 ranks, started 2026-01-31T08:15:00Z by node1) failed
            ended with exit code 137: rank 1 on node2 was killed by signal 9 (Killed)
            the ledgers: all ranks entered collective 5 (all_reduce of 4.0 KiB in f32, step 7) and it does not finish on rank 0
            rank 0 on node1: step 7, completed collective 4 (all_reduce of 4.0 KiB in f32, step 7), waits in collective 5 (all_reduce of 4.0 KiB in f32, step 7)
            rank 1 on node2: step 7, completed collective 5 (all_reduce of 4.0 KiB in f32, step 7), in no collective
            newest complete checkpoint: runs/x/checkpoints/step-000000005
        "#]],
        );
    }

    #[test]
    fn of_many_ranks_the_silent_ones_are_listed_first() {
        let snapshots =
            (0..20).map(|rank| snapshot(rank, 4, 5, if rank == 13 { 100 } else { 200 })).collect();
        let findings = Autopsy::of(&evidence(None, vec![], snapshots));
        assert_eq!(findings.ranks.len(), MAX_LISTED_RANKS);
        assert_eq!((findings.ranks[0].rank, findings.ranks[0].silent_before_the_end_s), (13, 100));
    }
}
