//! The comparison as text for a terminal.

use std::fmt::Write;

use regatta_report::run::Summary;
use regatta_run_folder::duration;

use super::Comparison;

const HEADER: [&str; 12] = [
    "run", "state", "epochs", "steps", "best", "last", "loss", "val loss", "images/s", "time", "ranks",
    "attempts",
];

/// Formats the runs as a table, and below it the keys in which their recipes differ.
pub(super) fn text(comparison: &Comparison) -> String {
    let runs = comparison.runs.iter().map(|run| row(run).to_vec());
    let header = HEADER.map(str::to_owned).to_vec();
    let mut text = aligned(&[vec![header], runs.collect()].concat());
    if comparison.runs.len() > 1 {
        text += "\n";
        text += &recipes(comparison);
    }
    for note in &comparison.notes {
        _ = writeln!(text, "note: {}", plain(note));
    }
    text
}

fn row(run: &Summary) -> [String; 12] {
    let share = |value: Option<f64>| value.map_or_else(unknown, |value| format!("{value:.4}"));
    let planned = run.planned_epochs.map_or_else(String::new, |epochs| format!("/{epochs}"));
    let best = run.best_epoch.map_or_else(String::new, |epoch| format!(" (epoch {epoch})"));
    let planned_rate = run.planned_images_per_second.map_or_else(String::new, |rate| format!("/{rate:.0}"));
    [
        run.name.clone(),
        run.state.word().to_owned(),
        format!("{}{planned}", run.epochs),
        run.steps.to_string(),
        share(run.best_top1) + &best,
        share(run.last_top1),
        share(run.train_loss),
        share(run.val_loss),
        run.images_per_second.map_or_else(unknown, |rate| format!("{rate:.0}")) + &planned_rate,
        duration(run.seconds),
        run.ranks.to_string(),
        run.attempts.to_string(),
    ]
}

fn unknown() -> String {
    "-".to_owned()
}

fn recipes(comparison: &Comparison) -> String {
    if comparison.differences.is_empty() {
        return "the recipes are equal\n".to_owned();
    }
    let names = comparison.runs.iter().map(|run| run.name.clone());
    let header: Vec<String> = ["key".to_owned()].into_iter().chain(names).collect();
    let rows = comparison.differences.iter().map(|difference| {
        let values = difference.values.iter().map(|value| value.clone().unwrap_or_else(unknown));
        [difference.key.clone()].into_iter().chain(values).collect::<Vec<String>>()
    });
    aligned(&[header].into_iter().chain(rows).collect::<Vec<_>>())
}

/// Aligns the first column to the left and the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    rows.iter().fold(String::new(), |mut text, row| {
        let first = format!("{:<width$}", row[0], width = widths[0]);
        let others = row.iter().zip(&widths).skip(1).map(|(cell, width)| format!("  {cell:>width$}"));
        _ = writeln!(text, "{}", others.fold(first, |line, cell| line + &cell).trim_end());
        text
    })
}

/// Replaces control characters, which names may contain and terminals obey.
fn plain(text: &str) -> String {
    text.replace(|character: char| character.is_control(), "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use regatta_report::run::{Difference, RunState};

    use super::*;

    fn run(name: &str, state: RunState, top1: Option<f64>) -> Summary {
        Summary {
            name: name.into(),
            path: format!("runs/{name}"),
            state,
            epochs: 3,
            planned_epochs: Some(4),
            steps: 1407,
            best_top1: top1,
            best_epoch: top1.map(|_| 2),
            last_top1: top1.map(|top1| top1 - 0.01),
            val_loss: top1.map(|_| 0.4),
            train_loss: Some(0.25),
            images_per_second: Some(1234.5),
            planned_images_per_second: top1.map(|_| 1300.2),
            seconds: 171.0,
            ranks: 2,
            attempts: 3,
        }
    }

    #[test]
    fn runs_are_side_by_side_above_their_differences() {
        let difference = |key: &str, values: [Option<&str>; 2]| Difference {
            key: key.into(),
            values: values.map(|value| value.map(str::to_owned)).into(),
        };
        let comparison = Comparison {
            runs: vec![
                run("fast", RunState::Done, Some(0.915)),
                run("no\x1b[2Jeval", RunState::Failed, None),
            ],
            differences: vec![
                difference("optim.lr", [Some("0.1"), Some("0.02")]),
                difference("train.max_steps", [None, Some("60")]),
            ],
            notes: vec!["metrics.jsonl: 2 lines that are no records were skipped".into()],
        };
        expect![[r#"
            run          state  epochs  steps              best    last    loss  val loss   images/s        time  ranks  attempts
            fast          done     3/4   1407  0.9150 (epoch 2)  0.9050  0.2500    0.4000  1234/1300  2 min 51 s      2         3
            no�[2Jeval  failed     3/4   1407                 -       -  0.2500         -       1234  2 min 51 s      2         3

            key              fast  no�[2Jeval
            optim.lr          0.1        0.02
            train.max_steps     -          60
            note: metrics.jsonl: 2 lines that are no records were skipped
        "#]].assert_eq(&text(&comparison));
    }
}
