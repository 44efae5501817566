//! The index of the runs that a server shows: a row a run, with a link to its page.

use form_urlencoded::byte_serialize;
use maud::{Markup, html};

use super::Summary;
use super::html::{FOLLOW, REMEMBER};
use crate::page::{SORTABLE, nonce, script, shell};

const SCRIPT: &str = include_str!("script/index.js");
const STYLE: &str = include_str!("style.css");

/// Returns the index. Its links and its form lead to `runs?run=NAME…`, relative to it. It fetches itself anew at every server-sent
/// event `changed` from `events`, an address relative to it.
pub fn index(title: &str, runs: &[Summary], events: &str) -> String {
    let nonce = nonce(&format!("{title}{runs:?}"));
    let policy =
        format!("; script-src 'nonce-{nonce}'; connect-src 'self'; base-uri 'none'; form-action 'self'");
    let content = html! {
        output id="live" { "connecting" }
        div id="runs" data-name="index" {
            @if runs.is_empty() { p { "There are no runs in this folder yet." } }
            @else { form action="runs" { (table(runs)) p { button { "Compare the chosen runs" } } } }
        }
        script nonce=(nonce) data-events=(events) { (script([SORTABLE, REMEMBER, FOLLOW, SCRIPT])) }
    };
    shell(title, STYLE, &policy, &content)
}

/// Returns the page of a run that was not started yet.
pub fn waiting(name: &str) -> String {
    shell(&format!("Run {name}"), STYLE, "", &html! { p { "The run has not started yet." } })
}

fn table(runs: &[Summary]) -> Markup {
    let columns =
        ["run", "state", "epochs", "steps", "best top-1", "last top-1", "images/s", "ranks", "attempts"];
    html! {
        div.table tabindex="0" data-name="scroll" {
            table data-name="runs" {
                thead { tr { @for column in columns { th scope="col" { (column) } } } }
                tbody { @for run in runs { (row(run)) } }
            }
        }
    }
}

fn row(run: &Summary) -> Markup {
    let share = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
    let rate = run.images_per_second.map_or_else(|| "–".to_owned(), |rate| format!("{rate:.0}"));
    let planned = run.planned_epochs.map_or_else(String::new, |planned| format!("/{planned}"));
    let planned_rate = run.planned_images_per_second.map_or_else(String::new, |rate| format!("/{rate:.0}"));
    let link: String = ["runs?run="].into_iter().chain(byte_serialize(run.name.as_bytes())).collect();
    html! {
        tr {
            td.text data-value=(run.name) { input type="checkbox" name="run" value=(run.name) aria-label=(run.name); " " a href=(link) { (run.name) } }
            td.state.(run.state.word()) { (run.state.word()) }
            td data-value=(run.epochs) { (run.epochs) (planned) }
            td { (run.steps) }
            td { (share(run.best_top1)) }
            td { (share(run.last_top1)) }
            td data-value=[run.images_per_second] { (rate) (planned_rate) }
            td { (run.ranks) }
            td { (run.attempts) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::RunState;
    use super::*;

    #[test]
    fn names_are_escaped() {
        let run = Summary {
            name: "<script>alert(1)</script>&\"".into(),
            path: "runs/x".into(),
            state: RunState::Running,
            epochs: 1,
            planned_epochs: Some(3),
            steps: 40,
            best_top1: Some(0.5),
            best_epoch: Some(1),
            last_top1: None,
            val_loss: None,
            train_loss: None,
            images_per_second: Some(123.4),
            planned_images_per_second: None,
            seconds: 1.0,
            ranks: 2,
            attempts: 1,
        };
        let page = index("Runs in <b>", &[run], "events?seen=1");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;</a>"), "{page}");
        assert!(page.contains("runs?run=%3Cscript%3Ealert%281%29%3C%2Fscript%3E%26%22"), "{page}");
        assert!(!page.contains("<script>alert") && !page.contains("<b>"), "{page}");
        assert!(index("Runs", &[], "events").contains("no runs in this folder yet"));
    }
}
