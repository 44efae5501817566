//! The text of a verdict: one line that says which ranks to look at and why.

use std::fmt::{self, Display};

use super::collective::Entry;
use super::verdict::Verdict;

/// Number of late ranks that are described individually.
const DESCRIBED: usize = 4;

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch { sequence, left, right } => mismatch(f, *sequence, left, right),
            Self::Behind { ranks, missing, waiting } => behind(f, ranks, missing, waiting),
            Self::Stuck { entry, unfinished, without_ledger } => stuck(f, entry, unfinished, without_ledger),
        }
    }
}

fn mismatch(
    f: &mut fmt::Formatter<'_>,
    sequence: u64,
    left: &(usize, Entry),
    right: &(usize, Entry),
) -> fmt::Result {
    // Exact sizes where rounded ones would look the same.
    let exact = left.1.collective.to_string() == right.1.collective.to_string();
    let called = |(rank, Entry { collective, step, .. }): &(usize, Entry)| match exact {
        true => format!("rank {rank} called {collective:#} (step {step})"),
        false => format!("rank {rank} called {collective} (step {step})"),
    };
    let ranks = counted(&[left.0, right.0]);
    write!(f, "{ranks} disagree on collective {sequence}: {}, {}", called(left), called(right))
}

fn behind(
    f: &mut fmt::Formatter<'_>,
    ranks: &[(usize, String, Option<Entry>)],
    missing: &Entry,
    waiting: &[usize],
) -> fmt::Result {
    if let [(rank, host, last)] = ranks {
        write!(f, "rank {rank} on {host} is behind: it {} and", last_entered(last))?;
    } else {
        let numbers: Vec<_> = ranks.iter().map(|(rank, ..)| *rank).collect();
        write!(f, "{} are behind: ", counted(&numbers))?;
        let described = &ranks[..ranks.len().min(DESCRIBED)];
        for alike in described.chunk_by(|(.., left), (.., right)| left == right) {
            let names: Vec<_> =
                alike.iter().map(|(rank, host, _)| format!("rank {rank} on {host}")).collect();
            write!(f, "{} {}, ", joined(&names), last_entered(&alike[0].2))?;
        }
        if ranks.len() > DESCRIBED {
            write!(f, "and so on, ")?;
        }
        write!(f, "and they")?;
    }
    let wait = if waiting.len() == 1 { "waits" } else { "wait" };
    write!(f, " never entered {missing}, in which {} {wait}", counted(waiting))
}

fn stuck(
    f: &mut fmt::Formatter<'_>,
    entry: &Entry,
    unfinished: &[usize],
    without_ledger: &[usize],
) -> fmt::Result {
    let all = if without_ledger.is_empty() { "all ranks" } else { "all ranks that have a ledger" };
    write!(f, "{all} entered {entry} and it does not finish on {}", counted(unfinished))?;
    match without_ledger {
        [] => Ok(()),
        _ => write!(f, "; there is no ledger of {}", counted(without_ledger)),
    }
}

fn last_entered(last: &Option<Entry>) -> String {
    match last {
        Some(entry) => format!("last entered {entry}"),
        None => "entered nothing so far".to_owned(),
    }
}

/// Formats rank numbers: "rank 3", "ranks 0, 1 and 2", "ranks 0 to 6 and 8".
fn counted(ranks: &[usize]) -> String {
    let noun = if ranks.len() == 1 { "rank" } else { "ranks" };
    let mut parts = Vec::new();
    for run in ranks.chunk_by(|left, right| left + 1 == *right) {
        match run {
            [first, _, _, .., last] => parts.push(format!("{first} to {last}")),
            short => parts.extend(short.iter().map(usize::to_string)),
        }
    }
    format!("{noun} {}", joined(&parts))
}

/// Joins parts: "a", "a and b", "a, b and c".
fn joined(parts: &[String]) -> String {
    match parts {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => parts.concat(),
    }
}
